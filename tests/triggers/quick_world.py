"""A home whose runs take no time: real ledger, real store, and a launcher that only claims."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cfcre.operations.ledger import Ledger
from cfcre.operations.owner import current_owner

SECRET = "a-secret-of-the-tests-shown-nowhere"
ROW = (
    '{"text": "Ada was born in Velmora.", "head": {"start": 0, "end": 3}, '
    '"tail": {"start": 16, "end": 23}, "relation": "born in"}'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def batch(number: int | str) -> bytes:
    """The bytes of a batch; each number has its own content."""
    return (ROW.replace("Ada", f"Ada {number}") + "\n").encode()


@dataclass(frozen=True)
class Leader:
    holder: str
    leased_until: datetime


class LeaseTable:
    """Leader leases with the ledger's contract, in a SQLite file of their own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._write() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS leader (name TEXT PRIMARY KEY, holder TEXT, until REAL)"
            )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")

    def acquire_leader(self, name: str, holder: str, lease_seconds: float) -> bool:
        now = time.time()
        with self._write() as database:
            database.execute(
                "INSERT INTO leader VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET holder = excluded.holder, until = excluded.until "
                "WHERE holder = excluded.holder OR until <= ?",
                (name, holder, now + lease_seconds, now),
            )
            row = database.execute("SELECT holder FROM leader WHERE name = ?", (name,)).fetchone()
        return bool(row[0] == holder)

    def release_leader(self, name: str, holder: str) -> None:
        with self._write() as database:
            database.execute("DELETE FROM leader WHERE name = ? AND holder = ?", (name, holder))

    def leader(self, name: str) -> Leader | None:
        with self._write() as database:
            query = "SELECT holder, until FROM leader WHERE name = ?"
            row = database.execute(query, (name,)).fetchone()
        return None if row is None else Leader(row[0], datetime.fromtimestamp(row[1], UTC))


def leases_of(ledger: Ledger, home: Path) -> Any:
    """The ledger's own leases where it has them, else a table with the same contract."""
    return ledger if hasattr(ledger, "acquire_leader") else LeaseTable(home / "leases.db")


class QuickLauncher:
    """Claims the batch, holds it for a while, and has "learned" it.

    Verdicts are to hold, so that no model registry is needed.

    Args:
        ledger: The ledger.
        seconds: How long the first run takes; the claim is held all the while.
        log: File that gets one line a start and one an end.
    """

    def __init__(self, ledger: Ledger, seconds: float = 0.0, log: Path | None = None) -> None:
        self.ledger, self.seconds, self.log = ledger, seconds, log
        self.started: list[tuple[str, str]] = []

    def launch(self, stream: str, batch_hash: str) -> None:
        claim = self.ledger.claim(
            stream,
            owner=current_owner(),
            lease_seconds=60,
            max_attempts=3,
            max_interruptions=5,
            batch_hash=batch_hash,
        )
        if claim is None:
            return
        self.started.append((stream, batch_hash))
        self._say(f"start {stream} {claim.task} {os.getpid()}")
        if len(self.started) == 1:
            time.sleep(self.seconds)
        self.ledger.advance(
            claim,
            "evaluated",
            verdict="hold",
            model_version=f"{stream}-{claim.task}",
            average_accuracy=0.75,
            forgetting=0.125,
        )
        self.ledger.settle(claim)
        self._say(f"end {stream} {claim.task} {os.getpid()}")

    def _say(self, line: str) -> None:
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(line + "\n")
