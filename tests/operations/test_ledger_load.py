"""The benchmark of the ledger, small: what it checks about its own run is the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import bench_ledger
from sqlalchemy import create_engine, text


def test_four_processes_claim_and_settle_every_batch_once(ledger_url: str) -> None:
    result = bench_ledger.run(ledger_url, processes=4, batches=60, streams=5)
    assert sum(result.claims) == 60


def test_a_batch_claimed_twice_does_not_pass(ledger_url: str) -> None:
    bench_ledger.run(ledger_url, processes=2, batches=4, streams=2)
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE cfcre_claims SET attempt = 2 WHERE token = 1"))
    engine.dispose()
    with pytest.raises(AssertionError):
        bench_ledger._check(ledger_url, 4)
