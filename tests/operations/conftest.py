"""A ledger on every database at hand, a clock that tests set, and a store in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Databases
from sqlalchemy.engine import make_url

from cfcre.config import Settings
from cfcre.errors import BatchRejected, NotFoundError
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import Owner, current_owner
from cfcre.operations.reconciler import ReconcileReport, reconcile


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MemoryStore:
    """Objects in a dict, with the move rules of the contract."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fail_moves_after: int | None = None

    def write(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def move(self, source: str, target: str) -> None:
        if self.fail_moves_after is not None:
            if self.fail_moves_after == 0:
                raise KeyboardInterrupt("killed here")
            self.fail_moves_after -= 1
        if source in self.objects:
            self.objects[target] = self.objects.pop(source)
        elif target not in self.objects:
            raise NotFoundError(f"neither {source} nor {target}")


@dataclass(frozen=True)
class Pending:
    stream: str
    name: str
    keys: tuple[str, ...]
    batch_hash: str
    sequence: int | None = None
    submitted_at: str = "2026-01-01T00:00:00+00:00"
    problem: BatchRejected | None = None
    manifest_key: str | None = None


class World:
    """A home: the store's inbox, the ledger, and runs that end as the test says."""

    def __init__(self, ledger: Ledger, store: Any) -> None:
        self.ledger, self.store = ledger, store
        self.ends: dict[str, list[str]] = {}  # batch content to how its attempts end
        self.problems: dict[str, BatchRejected] = {}
        self.sequences: dict[str, int] = {}
        self.learned: list[tuple[str, str]] = []
        self.broken_streams: set[str] = set()
        self.owner: Owner = current_owner()
        self.launcher: Any = self

    def drop(self, key: str, content: str) -> str:
        self.store.objects[f"inbox/{key}"] = content.encode()
        return hashlib.sha256(content.encode()).hexdigest()

    def discover(self) -> list[Pending]:
        found: list[Pending] = []
        for key in sorted(self.store.objects):
            parts = key.split("/")
            if parts[0] != "inbox" or (len(parts) == 4 and parts[3] != "manifest.json"):
                continue
            content = self.store.objects[key].decode()
            folder = key.rpartition("/")[0]
            members = [k for k in sorted(self.store.objects) if k.startswith(folder + "/")]
            manifest = len(parts) == 4
            found.append(
                Pending(
                    stream=parts[1],
                    name=parts[2],
                    keys=(key, *(k for k in members if k != key)) if manifest else (key,),
                    batch_hash=hashlib.sha256(content.encode()).hexdigest(),
                    sequence=self.sequences.get(content),
                    problem=self.problems.get(content),
                    manifest_key=key if manifest else None,
                )
            )
        return found

    def launch(self, stream: str, batch_hash: str) -> None:
        if stream in self.broken_streams:
            raise OSError("no such interpreter")
        claim = self.ledger.claim(
            stream,
            owner=self.owner,
            lease_seconds=60,
            max_attempts=2,
            max_interruptions=3,
            retry_backoff_seconds=2.0,
            batch_hash=batch_hash,
        )
        if claim is None:
            return
        key = claim.manifest_key or claim.keys[0]
        content = self.store.objects[key].decode()
        assert hashlib.sha256(content.encode()).hexdigest() == batch_hash
        end = self.ends.get(content, []).pop(0) if self.ends.get(content) else "learn"
        if end == "learn":
            self.learned.append((stream, content))
            version = str(len(self.learned))
            self.ledger.advance(claim, "evaluated", verdict="promote", model_version=version)
        elif end == "error":
            self.ledger.record_error(claim, "train_task", "bad luck", True)
        elif end == "reject":
            self.ledger.record_error(claim, "validate", "too few", False, "too_few_rows")
        if end != "hang":
            self.ledger.settle(claim)

    def step(self, skip: frozenset[str] = frozenset(), **options: Any) -> ReconcileReport:
        return reconcile(
            settings=Settings(),
            store=self.store,
            ledger=self.ledger,
            launcher=self.launcher,
            discover=self.discover,
            skip_streams=skip,
            **options,
        )

    def states(self) -> dict[str, str]:
        streams = self.ledger.status()["streams"]
        tasks = {t["batch_name"]: t["state"] for s in streams for t in s["tasks"]}
        return tasks | {p["name"]: p["state"] for s in streams for p in s["pending"]}


class StopAfter(threading.Event):
    """Waiting moves the test's clock instead of taking time."""

    def __init__(self, clock: Any, limit: int = 50) -> None:
        super().__init__()
        self.clock, self.waits, self.limit = clock, [], limit

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.clock.forward(timeout)
        if len(self.waits) >= self.limit:
            self.set()
        return self.is_set()


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A SQLite file that does not exist yet; a Postgres database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def migrated(postgres: Databases) -> Iterator[str]:
    """Name of a Postgres database with the ledger's tables, to be copied."""
    url = postgres.create()
    made = Ledger(url)
    made.create()
    made.close()
    yield make_url(url).database or ""
    postgres.drop(url)


@pytest.fixture
def migrated_url(postgres: Databases, migrated: str) -> Iterator[str]:
    """A Postgres database with the ledger's tables."""
    url = postgres.create(template=migrated)
    yield url
    postgres.drop(url)


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the ledger's tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        Ledger(url).create()
        return url
    migrated: str = request.getfixturevalue("migrated_url")
    return migrated


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    made = Ledger(ledger_url, clock=clock)
    yield made
    made.close()


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def dead_owner() -> Owner:
    """A process number of this host that was never given to the process it claims to be."""
    me = current_owner()
    return Owner(me.host, me.boot_id, me.pid, "1", me.pid_namespace)


@pytest.fixture
def drop(ledger: Ledger) -> Callable[..., str]:
    """Record a batch by a one-letter name; returns its hash."""

    def record(name: str, sequence: int | None = None, stream: str = "s") -> str:
        digest = (name * 64)[:64]
        ledger.record_batch(
            stream, digest, name=name, keys=[f"inbox/{stream}/{name}.jsonl"], sequence=sequence
        )
        return digest

    return record


@pytest.fixture
def take(ledger: Ledger) -> Callable[..., Claim | None]:
    """Claim with small limits."""

    def claim(stream: str = "s", **changes: object) -> Claim | None:
        options = {
            "owner": current_owner(),
            "lease_seconds": 60.0,
            "max_attempts": 3,
            "max_interruptions": 3,
            "retry_backoff_seconds": 2.0,
        }
        return ledger.claim(stream, **{**options, **changes})  # type: ignore[arg-type]

    return claim


@pytest.fixture
def learn(ledger: Ledger, take: Callable[..., Claim | None]) -> Callable[..., str]:
    """Run the next batch to its end; returns the state it ends in."""

    def run(version: str, verdict: str = "promote", stream: str = "s") -> str:
        claim = take(stream)
        assert claim is not None
        ledger.advance(claim, "evaluated", verdict=verdict, model_version=version)
        return ledger.settle(claim).state

    return run


@pytest.fixture
def world(ledger: Ledger, memory_store: Any) -> World:
    return World(ledger, memory_store)


@pytest.fixture
def make_stop(clock: Clock) -> Callable[..., StopAfter]:
    return lambda limit=50: StopAfter(clock, limit)
