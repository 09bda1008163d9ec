"""The ledger against a simple model of it in plain Python, over random sequences of operations."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cfcre.errors import BatchRejected, ConfigurationError, LeaseLost
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import Owner, current_owner

MAX_ATTEMPTS, MAX_INTERRUPTIONS, LEASE, BACKOFF = 2, 3, 100.0, 8.0
SETTLED = {"promoted", "held", "rejected", "failed"}
ME = current_owner()
OWNERS = {
    "alive": ME,
    "dead": Owner(ME.host, ME.boot_id, ME.pid, "1", ME.pid_namespace),
    "unknown": Owner("elsewhere", "", 1, ""),
}


@dataclass
class Batch:
    name: str
    sequence: int
    state: str = "seen"
    failures: int = 0
    interruptions: int = 0
    attempts: int = 0
    due: float = 0.0
    version: str | None = None
    verdict: str | None = None
    error: str | None = None


@dataclass
class Model:
    """What the ledger should do, written without any of its code."""

    now: float = 0.0
    batches: list[Batch] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)
    token: int = 0
    live: Batch | None = None
    lease_end: float = 0.0
    owner: str = ""

    def drop(self, name: str, sequence: int | None) -> bool:
        if any(b.name == name for b in self.batches):
            return True
        taken = [b.sequence for b in self.batches]
        if sequence in taken:
            return False
        self.batches.append(Batch(name, sequence or max(taken, default=0) + 1))
        return True

    def end(self) -> None:
        batch, self.live = self.live, None
        assert batch is not None
        if batch.version and batch.verdict:
            batch.state = {"promote": "promoted", "hold": "held"}[batch.verdict]
            self.learned.append(batch.version)
            if batch.state == "promoted":
                self.champions.append(batch.version)
        elif batch.error == "data":
            batch.state = "rejected"
        elif batch.error == "other":
            batch.failures += 1
            batch.due = self.now + BACKOFF * 2 ** (batch.failures - 1)
            batch.state = "failed" if batch.failures >= MAX_ATTEMPTS else "seen"
        else:
            batch.interruptions += 1
            batch.state = "failed" if batch.interruptions >= MAX_INTERRUPTIONS else "seen"

    def recover(self) -> None:
        if self.live and (self.owner == "dead" or self.now >= self.lease_end):
            self.end()

    def claim(self, owner: str) -> Batch | None:
        self.recover()
        if self.live:
            return None
        by_sequence = {b.sequence: b for b in self.batches}
        number = 1
        while number in by_sequence and by_sequence[number].state in SETTLED:
            number += 1
        batch = by_sequence.get(number)
        if batch is None or batch.due > self.now:
            return None
        batch.state, batch.attempts, batch.due = "claimed", batch.attempts + 1, 0.0
        batch.version = batch.verdict = batch.error = None
        self.token += 1
        self.live, self.owner, self.lease_end = batch, owner, self.now + LEASE
        return batch


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.model = Model()
        self.start = datetime(2026, 1, 1, tzinfo=UTC)
        self.ledger = Ledger(
            f"sqlite:///{self.folder}/ledger.db",
            clock=lambda: self.start + timedelta(seconds=self.model.now),
        )
        self.ledger.create()
        self.claims: list[Claim] = []
        self.versions = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(name=st.sampled_from("abcdef"), sequence=st.none() | st.integers(1, 6))
    def drop(self, name: str, sequence: int | None) -> None:
        def record() -> None:
            self.ledger.record_batch("s", name * 64, name=name, keys=[name], sequence=sequence)

        if self.model.drop(name, sequence):
            record()
        else:
            with pytest.raises(BatchRejected, match="sequence_conflict"):
                record()

    @rule(owner=st.sampled_from(sorted(OWNERS)))
    def claim(self, owner: str) -> None:
        claim = self.ledger.claim(
            "s",
            owner=OWNERS[owner],
            lease_seconds=LEASE,
            max_attempts=MAX_ATTEMPTS,
            max_interruptions=MAX_INTERRUPTIONS,
            retry_backoff_seconds=BACKOFF,
        )
        expected = self.model.claim(owner)
        if claim is None or expected is None:
            assert claim is None and expected is None
            return
        learned = self.model.learned
        assert (claim.batch_name, claim.attempt, claim.token) == (
            expected.name,
            expected.attempts,
            self.model.token,
        )
        assert claim.task == len(learned) + 1
        assert claim.parent_version == (learned[-1] if learned else None)
        self.claims.append(claim)

    @rule(seconds=st.sampled_from([1.0, 8.0, 16.0, 99.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule()
    def recover(self) -> None:
        self.ledger.recover("s")
        self.model.recover()

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        action=st.sampled_from(["data", "other", "promote", "hold", "version", "renew", "settle"]),
    )
    def act(self, data: st.DataObject, action: str) -> None:
        claim = data.draw(st.sampled_from(self.claims[-3:]))
        live = self.model.live
        if action == "settle":
            self.ledger.settle(claim)
            if live and claim.token == self.model.token:
                self.model.end()
        elif live is None or claim.token != self.model.token:
            with pytest.raises(LeaseLost):
                self.apply(claim, action, "stale")
        else:
            self.versions += 1
            self.apply(claim, action, str(self.versions))
            if action == "renew":
                self.model.lease_end = self.model.now + LEASE
            elif action in ("promote", "hold"):
                live.verdict = action
            elif action == "version":
                live.version = str(self.versions)
            elif live.error != "data":
                live.error = action

    def apply(self, claim: Claim, action: str, version: str) -> None:
        if action == "renew":
            self.ledger.renew(claim, LEASE)
        elif action == "version":
            self.ledger.advance(claim, "claimed", model_version=version)
        elif action in ("promote", "hold"):
            self.ledger.advance(claim, "claimed", verdict=action)
        else:
            reason = "too_few_rows" if action == "data" else None
            self.ledger.record_error(claim, "stage", "message", action == "other", reason)

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data(), operation=st.sampled_from(["retry", "skip"]))
    def operate(self, data: st.DataObject, operation: str) -> None:
        batch = data.draw(st.sampled_from(self.model.batches))
        if batch.state in ("promoted", "held", "claimed"):
            with pytest.raises(ConfigurationError):
                getattr(self.ledger, operation)(batch.name)
            return
        getattr(self.ledger, operation)(batch.name)
        batch.due = 0.0
        if operation == "skip":
            batch.state = "rejected"
        else:
            batch.state, batch.failures, batch.interruptions = "seen", 0, 0

    @invariant()
    def same(self) -> None:
        (stream,) = self.ledger.status()["streams"] or [{"tasks": [], "pending": []}]
        found = {
            b["batch"][0]: (b["state"], b["sequence"], b["attempts"], b["interruptions"])
            for b in stream["tasks"] + stream["pending"]
        }
        assert found == {
            b.name: (b.state, b.sequence, b.failures, b.interruptions) for b in self.model.batches
        }
        learned = [t for t in stream["tasks"] if t["state"] in ("promoted", "held")]
        assert [t["model_version"] for t in learned] == self.model.learned
        assert [t["task"] for t in learned] == list(range(1, len(learned) + 1))
        assert [p.new_version for p in self.ledger.promotions()] == self.model.champions


LedgerMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLedgerAgainstModel = pytest.mark.slow(LedgerMachine.TestCase)
