"""How fast a machine multiplies matrices, asked of fast and of slow ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from cfcre.benchmarking.machine import matmul_peak

CPU = torch.device("cpu")


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sides of the matrices multiplied; nothing measured before is remembered."""
    asked: list[int] = []
    multiply = torch.mm

    def record(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        asked.append(len(a))
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", record)
    matmul_peak.cache_clear()
    yield asked
    matmul_peak.cache_clear()


def test_the_peak_is_above_a_plain_products(sides: list[int]) -> None:
    peak = matmul_peak(CPU, torch.float32)
    a = torch.ones(256, 256)
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    assert peak > 0.5 * 20 * 2 * 256**3 / (time.perf_counter() - began)
    assert sides == sorted(sides)
    assert matmul_peak(CPU, torch.float32) == peak


def test_a_slow_processor_is_not_asked_for_large_products(
    sides: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without instructions for bfloat16: half a minute for a product of side 2048."""
    multiply = torch.mm

    def slowly(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        time.sleep(len(a) ** 3 * 1e-8)  # 0.02 s for a side of 128, 0.17 s for one of 256
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", slowly)
    peak = matmul_peak(CPU, torch.bfloat16)
    assert max(sides) == 256
    assert 0.2 * 2 / 1e-8 < peak < 2 / 1e-8
