"""The machine that a benchmark runs on, and how fast it can multiply matrices."""

from __future__ import annotations

import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cfcre.data.digests import library_versions
from cfcre.modeling.compute import Compute

__all__ = ["describe_machine", "matmul_peak", "memory_peak", "reset_memory_peak"]

#: Sides of the square matrices: the first, and the largest by type of device; seconds for each.
_FIRST_SIDE = 128
_LARGEST_SIDE = {"cpu": 2048, "cuda": 8192}
_SECONDS = 0.3


def describe_machine(compute: Compute) -> dict[str, Any]:
    """Processor, cores, memory, GPU, threads, and versions of everything that numbers depend on."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(_physical_memory() / 2**30, 1),
        "threads": torch.get_num_threads(),
        "device": str(compute.device),
        "training_precision": str(compute.training_dtype).removeprefix("torch."),
        "versions": library_versions(),
    }
    if compute.device.type == "cuda":
        properties = torch.cuda.get_device_properties(compute.device)
        facts["gpu"] = properties.name
        facts["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
    return facts


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square matrix product; the best of many.

    A product of two n × n matrices counts 2 n³ operations. n doubles as long as a product of that
    size is quick: a processor without instructions for bfloat16 needs half a minute for n = 2048.
    Measured once a process, in a second or two.
    """
    side, peak = _FIRST_SIDE, 0.0
    while True:
        seconds = _quickest_product(device, dtype, side)
        peak = max(peak, 2 * side**3 / seconds)
        side *= 2
        if side > _LARGEST_SIDE.get(device.type, 2048) or 8 * seconds > _SECONDS:
            return peak


def _quickest_product(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Seconds of the quickest of several products: at least two, and as many as the time allows."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty(side, side, device=device, dtype=dtype)
    taken: list[float] = []
    with torch.inference_mode():
        torch.mm(a, b, out=out)  # the first call chooses and prepares a kernel
        while len(taken) < 2 or sum(taken) < _SECONDS:
            _wait(device)
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            _wait(device)
            taken.append(time.perf_counter() - started)
    return min(taken)


def reset_memory_peak(device: torch.device) -> None:
    """Start a new measurement of :func:`memory_peak`, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        # Linux: 5 sets the high-water mark back to what is in use now.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def memory_peak(device: torch.device) -> int:
    """Most bytes in use since the last reset: of the GPU by tensors, or of the process.

    Where the system keeps only one high-water mark for the life of a process, it is that one.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
