"""A process that is stopped, outlives its lease, and wakes up believing that it still works."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any

import pytest
from processes import CONTEXT

from cfcre.errors import CfcreError, LeaseLost, LedgerUnavailable
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.ledger.database import lock_stream
from cfcre.operations.owner import current_owner

pytestmark = pytest.mark.kill

CLAIM: dict[str, Any] = {"max_attempts": 3, "max_interruptions": 3}


def name_of(call: Callable[[], object]) -> str:
    """How a call ended: the error's name, or what it returned."""
    try:
        return str(call())
    except CfcreError as error:
        return type(error).__name__


def train_and_register(url: str, pipe: Pipe) -> None:
    """Claim, renew when told, and do all that a run does at its end once the lease is lost."""
    ledger = Ledger(url)
    claim = ledger.claim("s", owner=current_owner(), lease_seconds=0.5, **CLAIM)
    assert claim is not None
    pipe.send(claim.to_json())
    renewed = "None"
    while renewed == "None":
        pipe.recv()  # here it is stopped, in no transaction
        renewed = name_of(lambda: ledger.renew(claim, 0.5))
        pipe.send(renewed)
    facts = {"model_version": "stale", "verdict": "promote"}
    pipe.send(
        [
            name_of(lambda: ledger.check(claim)),
            name_of(lambda: ledger.advance(claim, "evaluated", **facts)),
            name_of(lambda: ledger.promote_candidate(claim, reason="stale")),
            name_of(lambda: ledger.record_error(claim, "train", "stale", True)),
            name_of(lambda: ledger.record_stage(claim, "train", 1.0)),
            ledger.settle(claim).ending,
        ]
    )


def hold_the_lock(url: str, pipe: Pipe) -> None:
    """Lock the stream, and go on with the transaction after a pause."""
    ledger = Ledger(url, timeout_seconds=1)

    def claim_slowly() -> Claim | None:
        with ledger._database.write() as connection:
            lock_stream(connection, "s")
            pipe.send("locked")
            pipe.recv()
            lock_stream(connection, "s")
        return None

    pipe.send(name_of(claim_slowly))
    pipe.send(name_of(lambda: ledger.claim("s", owner=current_owner(), lease_seconds=60, **CLAIM)))


@contextmanager
def started(target: Callable[..., None], url: str) -> Iterator[tuple[int, Pipe]]:
    mine, its = CONTEXT.Pipe()
    process = CONTEXT.Process(target=target, args=(url, its))
    process.start()
    its.close()
    try:
        assert process.pid is not None
        yield process.pid, mine
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()


def receive(pipe: Pipe) -> Any:
    assert pipe.poll(60)
    return pipe.recv()


def test_a_paused_run_wakes_up_fenced(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.record_batch("s", "a" * 64, name="a", keys=["a"])
    with started(train_and_register, ledger_url) as (pid, pipe):
        old = Claim.from_json(receive(pipe))
        for _ in range(4):  # longer than its lease: it is alive and renews
            time.sleep(0.2)
            pipe.send("renew")
            assert receive(pipe) == "None"
        assert ledger.claim("s", owner=current_owner(), lease_seconds=60, **CLAIM) is None
        os.kill(pid, signal.SIGSTOP)
        end = time.monotonic() + 30
        new = None
        while new is None:
            assert time.monotonic() < end
            new = ledger.claim("s", owner=current_owner(), lease_seconds=60, **CLAIM)
        assert (new.token, new.attempt) == (old.token + 1, 2)
        ledger.advance(new, "training")
        os.kill(pid, signal.SIGCONT)
        pipe.send("renew")
        assert receive(pipe) == LeaseLost.__name__
        # Nobody else told it: the token did, at every step that others would see.
        assert receive(pipe) == [LeaseLost.__name__] * 5 + ["interruption"]
    ledger.check(new)
    ledger.advance(new, "evaluated", model_version="1", verdict="promote")
    ledger.promote_candidate(new, reason="ok")
    assert ledger.settle(new).state == "promoted"
    assert [p.new_version for p in ledger.promotions()] == ["1"]
    (task,) = ledger.status()["streams"][0]["tasks"]
    assert (task["model_version"], task["interruptions"], task["seconds"]) == ("1", 1, {})


@pytest.mark.server
def test_a_process_paused_in_a_transaction_stops_nobody(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    ledger.create()
    ledger.record_batch("s", "a" * 64, name="a", keys=["a"])
    with started(hold_the_lock, postgres_url) as (pid, pipe):
        assert receive(pipe) == "locked"
        os.kill(pid, signal.SIGSTOP)
        # The server ends its session after half a second, long before this claim gives up.
        claim = ledger.claim("s", owner=current_owner(), lease_seconds=60, **CLAIM)
        assert claim is not None and claim.token == 1
        os.kill(pid, signal.SIGCONT)
        pipe.send("go on")
        assert receive(pipe) == LedgerUnavailable.__name__
        assert receive(pipe) == "None"  # it asked again, and there was nothing to do
    assert ledger.live_claim("s") is not None
    ledger.close()
