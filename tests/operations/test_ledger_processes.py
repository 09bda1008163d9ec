"""Real processes: racing for a claim, racing to create the schema, and killed while holding one."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier as BarrierType
from typing import Any

import pytest
from processes import CONTEXT, run_all

from cfcre.errors import LeaseLost
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import current_owner

PROCESSES = 8
OPTIONS: dict[str, Any] = {"lease_seconds": 600, "max_attempts": 3, "max_interruptions": 3}


def create_and_record(url: str, number: int, barrier: BarrierType, pipe: Connection) -> None:
    ledger = Ledger(url, timeout_seconds=120)
    barrier.wait()
    ledger.create()
    for index in range(5):  # two shared by all, three of its own
        digest = f"shared-{index}" if index < 2 else f"own-{number}-{index}"
        ledger.record_batch("s", digest, name=digest, keys=[digest])
    pipe.send("done")


def claim_together(url: str, number: int, barrier: BarrierType, pipe: Connection) -> None:
    ledger = Ledger(url, timeout_seconds=120)
    barrier.wait()
    claim = ledger.claim("s", owner=current_owner(), **OPTIONS)
    pipe.send(claim and claim.to_json())
    barrier.wait()  # stay alive until all have tried: a dead owner could be taken over


def claim_and_hang(url: str, number: int, barrier: BarrierType, pipe: Connection) -> None:
    claim = Ledger(url, timeout_seconds=120).claim("s", owner=current_owner(), **OPTIONS)
    assert claim is not None
    pipe.send(claim.to_json())
    time.sleep(600)


def work(url: str, number: int, barrier: BarrierType, pipe: Connection) -> None:
    """Learn whatever can be claimed, sometimes failing, until nothing is left."""
    ledger = Ledger(url, timeout_seconds=120)
    barrier.wait()
    tokens = []
    idle = 0
    while idle < 20:
        claim = ledger.claim("s", owner=current_owner(), retry_backoff_seconds=0, **OPTIONS)
        if claim is None:
            busy = ledger.activity("s")[0]
            idle = 0 if busy.live or busy.claimable else idle + 1
            time.sleep(0.005)
            continue
        tokens.append(claim.token)
        if claim.attempt == 1 and claim.sequence % 3 == 0:
            ledger.record_error(claim, "train", "bad luck", True)
        else:
            version = f"v{claim.sequence}"
            ledger.advance(claim, "evaluated", verdict="promote", model_version=version)
            ledger.promote_candidate(claim, reason="ok")
        ledger.settle(claim)
    pipe.send(tokens)


def test_eight_processes_create_and_record_at_once(empty_url: str) -> None:
    assert run_all(create_and_record, empty_url, PROCESSES) == ["done"] * PROCESSES
    pending = Ledger(empty_url).status()["streams"][0]["pending"]
    count = 2 + 3 * PROCESSES
    assert [p["sequence"] for p in pending] == list(range(1, count + 1))
    assert len({p["batch"] for p in pending}) == count


def test_one_of_eight_processes_wins_a_claim(ledger: Ledger, ledger_url: str) -> None:
    for name in ("a", "b", "c"):
        ledger.record_batch("s", name * 64, name=name, keys=[name])
    won = [claim for claim in run_all(claim_together, ledger_url, PROCESSES) if claim]
    assert len(won) == 1
    assert (won[0]["batch_name"], won[0]["token"]) == ("a", 1)


def test_eight_processes_learn_each_batch_once_and_in_order(
    ledger: Ledger, ledger_url: str
) -> None:
    count = 12
    for index in range(1, count + 1):
        ledger.record_batch("s", f"{index:064d}", name=f"b{index}", keys=[f"b{index}"])
    tokens = sorted(token for part in run_all(work, ledger_url, PROCESSES) for token in part)
    retried = count // 3
    assert tokens == list(range(1, count + retried + 1))  # none given out twice
    stream = Ledger(ledger_url).status()["streams"][0]
    assert stream["pending"] == []
    assert [t["model_version"] for t in stream["tasks"]] == [f"v{i}" for i in range(1, count + 1)]
    moves = [(p.old_version, p.new_version) for p in ledger.promotions()]
    assert moves == [(f"v{i - 1}" if i > 1 else None, f"v{i}") for i in range(1, count + 1)]


@pytest.mark.kill
def test_the_claim_of_a_killed_process_is_taken_over_and_fenced(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.create()
    ledger.record_batch("s", "a" * 64, name="a", keys=["a"])
    receiver, sender = CONTEXT.Pipe(duplex=False)
    barrier = CONTEXT.Barrier(1)  # kept: a child finds it by a name that goes with the object
    process = CONTEXT.Process(target=claim_and_hang, args=(ledger_url, 0, barrier, sender))
    process.start()
    sender.close()
    assert receiver.poll(60)
    old = Claim.from_json(receiver.recv())
    assert ledger.claim("s", owner=current_owner(), **OPTIONS) is None  # it lives, lease of 600 s
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    new = ledger.claim("s", owner=current_owner(), **OPTIONS)
    assert new is not None
    assert (new.attempt, new.token) == (old.attempt + 1, old.token + 1)
    for call in (
        lambda: ledger.advance(old, "evaluated", model_version="9", verdict="promote"),
        lambda: ledger.promote_candidate(old, reason="stale"),
    ):
        with pytest.raises(LeaseLost):
            call()
    record = ledger.batch("a")
    assert (record.interruptions, record.failures, record.model_version) == (1, 0, None)
    assert ledger.champion() is None
