"""What the ledger gives out: batches, claims, outcomes and promotions, as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row

from cfcre.errors import CfcreError, ConfigurationError
from cfcre.operations.ledger.tables import ACTIVE_STATES, LEARNED_STATES, SETTLED_STATES

__all__ = [
    "RUN_FACT",
    "Activity",
    "AttemptError",
    "BatchRecord",
    "Claim",
    "Ending",
    "LeaderRecord",
    "LiveClaim",
    "Outcome",
    "Promotion",
    "Recorded",
    "clean_json",
    "clean_text",
    "task_name",
]

Ending = Literal["learned", "rejected", "failure", "interruption"]

RUN_FACT = "pipeline_run"
"""Fact of a batch: the pipeline run that claimed it."""


@dataclass(frozen=True)
class BatchRecord:
    """A batch as the ledger knows it.

    Attributes:
        attempt: Claims ever made for it.
        failures: Attempts that ended with an error since the last ``retry``.
        interruptions: Attempts that vanished since the last ``retry``.
        placed: Where its objects lie: inbox, processed, rejected or failed.
        detail: The line that explains ``reason``, or the last error of a batch to be tried again.
    """

    stream: str
    batch_hash: str
    name: str
    keys: tuple[str, ...]
    manifest_key: str | None
    sequence: int | None
    submitted_at: str
    state: str
    placed: str
    task: int | None
    attempt: int
    failures: int
    interruptions: int
    next_attempt_at: datetime | None
    settled_at: datetime | None
    reason: str | None
    detail: str | None
    model_version: str | None
    verdict: str | None
    facts: dict[str, Any]
    seconds: dict[str, float]

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in SETTLED_STATES

    @property
    def running(self) -> bool:
        """Whether an attempt holds it."""
        return self.state in ACTIVE_STATES

    @property
    def wanted_place(self) -> str:
        """Where its objects belong."""
        if self.state in LEARNED_STATES:
            return "processed"
        return self.state if self.settled else "inbox"

    @classmethod
    def from_row(cls, row: Row[Any]) -> BatchRecord:
        """From a row of the table."""
        names = cls.__dataclass_fields__
        values = {name: row._mapping[name] for name in names}
        values["keys"] = tuple(values["keys"])
        return cls(**values)


@dataclass(frozen=True)
class Recorded:
    """Result of recording a batch.

    Attributes:
        batch: The batch as it stands now.
        new: Whether this call added it.
        duplicate: Whether it was settled before and this is its content once more: the caller
            moves the given objects aside.
    """

    batch: BatchRecord
    new: bool
    duplicate: bool = False


@dataclass(frozen=True)
class Claim:
    """A stream's task, held under a lease by one attempt.

    Attributes:
        task: 1-based index that the batch gets when it is learned.
        attempt: Number of this claim of the batch, from 1.
        token: Fencing token; larger than that of every earlier claim of the stream.
        run_name: Name of this attempt, the same whoever computes it.
        parent_version: Model version of the stream's latest learned task.
        champion_version: The champion when the claim was made.
    """

    stream: str
    batch_hash: str
    batch_name: str
    keys: tuple[str, ...]
    manifest_key: str | None
    sequence: int
    task: int
    attempt: int
    token: int
    run_name: str
    parent_version: str | None
    champion_version: str | None = None

    @property
    def task_name(self) -> str:
        """Name of the task whatever the attempt: a retried attempt goes on in the same run."""
        return task_name(self.stream, self.task, self.batch_hash)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping, see :meth:`from_json`."""
        return {**asdict(self), "keys": list(self.keys)}

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> Claim:
        """Read what :meth:`to_json` gave, as a mapping or as JSON text of it.

        Raises:
            ConfigurationError: It is not a claim.
        """
        try:
            values = dict(json.loads(data) if isinstance(data, str) else data)
            values["keys"] = tuple(values["keys"])
            for name in ("sequence", "task", "attempt", "token"):
                values[name] = int(values[name])  # Kubeflow gives whole numbers back as floats
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"this is not a claim: {error!r}") from error


@dataclass(frozen=True)
class AttemptError:
    """Why an attempt fails, as its stage recorded it."""

    stage: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class LiveClaim:
    """The claim that holds a stream now."""

    run_name: str
    batch_hash: str
    token: int
    owner: dict[str, Any]
    claimed_at: datetime
    leased_until: datetime


@dataclass(frozen=True)
class LeaderRecord:
    """Who leads now, since when without a break, and until when unless it renews."""

    name: str
    holder: str
    since: datetime
    leased_until: datetime


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        ending: learned, rejected, failure (it recorded an error) or interruption (it vanished).
        state: State of the batch that this ending led to; ``seen`` means it is tried again.
        reason: Code of a rejection or of setting aside; None where all went well.
        settled_now: False when the attempt had been settled before, by this or another process.
    """

    stream: str
    batch_hash: str
    run_name: str
    ending: Ending
    state: str
    reason: str | None
    detail: str | None
    model_version: str | None
    verdict: str | None
    settled_now: bool = True


@dataclass(frozen=True)
class Activity:
    """What a stream is about to do.

    Attributes:
        claimable: Hash of the batch that could be claimed now.
        live: The claim that holds the stream.
        backoff_until: When the next batch may be tried again.
        waiting: Batches that wait for something else, a missing sequence above all.
    """

    stream: str
    claimable: str | None
    live: LiveClaim | None
    backoff_until: datetime | None
    waiting: int


@dataclass(frozen=True)
class Promotion:
    """One move of the champion.

    Attributes:
        kind: gate (by the pipeline), promote or rollback (by a person).
        alias_moved_at: When the registry's alias was seen to follow; None until then.
    """

    id: int
    at: datetime
    model: str
    kind: str
    old_version: str | None
    new_version: str
    stream: str | None
    batch_hash: str | None
    metrics: dict[str, Any]
    verdict: str | None
    actor: str
    reason: str
    alias_moved_at: datetime | None

    @classmethod
    def from_row(cls, row: Row[Any]) -> Promotion:
        """From a row of the table."""
        return cls(**{name: row._mapping[name] for name in cls.__dataclass_fields__})

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping."""
        moved = self.alias_moved_at
        return asdict(self) | {
            "at": self.at.isoformat(),
            "alias_moved_at": moved.isoformat() if moved else None,
        }


def task_name(stream: str, task: int, batch_hash: str) -> str:
    """Name of a task; with ``-a<attempt>`` behind it, of a run."""
    return f"{stream}-{task:03d}-{batch_hash[:8]}"


def clean_text(text: str) -> str:
    """Text that every database takes: NUL and lone surrogates become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def clean_json(value: Any) -> Any:
    """JSON that every database takes: NaN and infinity become null, texts are cleaned.

    Raises:
        CfcreError: A value has no place in JSON.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(item) for item in value]
    raise CfcreError(
        f"a fact for the ledger is a {type(value).__name__}; give text, numbers, lists or mappings"
    )
