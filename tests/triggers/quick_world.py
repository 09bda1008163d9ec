"""A home whose runs take no time: real ledger, real store, and a launcher that only claims."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

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
