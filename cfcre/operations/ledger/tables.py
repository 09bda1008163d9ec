"""The ledger's schema; what must never happen is a constraint here, not only a rule in code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

__all__ = [
    "ACTIVE_STATES",
    "LEARNED_STATES",
    "PLACES",
    "REVISION",
    "REVISION_TABLE",
    "SETTLED_STATES",
    "STATES",
    "batches",
    "claims",
    "leaders",
    "metadata",
    "models",
    "promotions",
    "schema_version",
    "streams",
]

REVISION = "0002"
"""The newest revision in ``migrations/versions``: what this code reads and writes."""
REVISION_TABLE = "cfcre_revision"
"""Alembic's table, which names the revision that the database is at."""

ACTIVE_STATES = ("claimed", "validated", "training", "evaluated")
LEARNED_STATES = ("promoted", "held")
SETTLED_STATES = (*LEARNED_STATES, "rejected", "failed")
STATES = ("seen", *ACTIVE_STATES, *SETTLED_STATES)
PLACES = ("inbox", "processed", "rejected", "failed")
"""Where the objects of a batch lie in the object store."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored as UTC without a zone: SQLite keeps none, and Postgres then agrees."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Store UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


# SQLite numbers rows by itself only for a column declared exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

# The schema's number before revisions had names. The first release accepts 1 alone: it is 2 now.
schema_version = Table("cfcre_schema", metadata, Column("version", Integer, primary_key=True))

streams = Table(
    "cfcre_streams",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("token", BigInteger, nullable=False),  # the last fencing token given out
    Column("created_at", UtcDateTime, nullable=False),
)

batches = Table(
    "cfcre_batches",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("stream", ForeignKey("cfcre_streams.name"), nullable=False),
    Column("batch_hash", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("keys", JSON, nullable=False),
    Column("manifest_key", Text),
    # NULL only for a batch rejected before it could take a number.
    Column("sequence", BigInteger),
    Column("submitted_at", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("placed", String(16), nullable=False),
    Column("task", Integer),
    Column("attempt", Integer, nullable=False),  # claims ever made: names runs, never reset
    Column("failures", Integer, nullable=False),
    Column("interruptions", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("reason", String(128)),
    Column("detail", Text),
    Column("model_version", String(64)),
    Column("verdict", String(16)),
    Column("facts", JSON, nullable=False),
    Column("seconds", JSON, nullable=False),
    UniqueConstraint("stream", "batch_hash", name="cfcre_batch_once"),
    UniqueConstraint("stream", "sequence", name="cfcre_sequence_once"),
    # A task number is held by one batch: none is learned twice, none in another's place.
    UniqueConstraint("stream", "task", name="cfcre_task_once"),
    CheckConstraint(_one_of("state", STATES), name="cfcre_state"),
    CheckConstraint(_one_of("placed", PLACES), name="cfcre_placed"),
    CheckConstraint("sequence >= 1", name="cfcre_sequence_positive"),
    CheckConstraint("state = 'rejected' OR sequence IS NOT NULL", name="cfcre_sequence_given"),
    CheckConstraint(
        "state NOT IN ('promoted', 'held') OR (model_version IS NOT NULL AND task IS NOT NULL)",
        name="cfcre_learned_registered",
    ),
)

claims = Table(
    "cfcre_claims",
    metadata,
    Column("stream", ForeignKey("cfcre_streams.name"), primary_key=True),
    Column("token", BigInteger, primary_key=True, autoincrement=False),
    Column("batch_id", ForeignKey("cfcre_batches.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("task", Integer, nullable=False),
    Column("run_name", Text, nullable=False),
    Column("parent_version", String(64)),
    Column("champion_version", String(64)),
    Column("owner", JSON, nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime, nullable=False),
    # The limits in force when the claim was made: whoever settles it needs no configuration.
    Column("max_attempts", Integer, nullable=False),
    Column("max_interruptions", Integer, nullable=False),
    Column("retry_backoff_seconds", Float, nullable=False),
    Column("error_stage", String(64)),
    Column("error_message", Text),
    Column("error_retryable", Boolean),
    Column("error_reason", String(128)),
    Column("ended_at", UtcDateTime),
    Column("ending", String(16)),  # learned, rejected, failure or interruption
    Column("outcome", JSON),
    Index("cfcre_claims_run_name", "run_name"),
)
# At most one live claim a stream, whatever the code does.
Index(
    "cfcre_one_live_claim",
    claims.c.stream,
    unique=True,
    sqlite_where=claims.c.ended_at.is_(None),
    postgresql_where=claims.c.ended_at.is_(None),
)

# One row a registered model, to be locked while its champion is read and moved.
models = Table("cfcre_models", metadata, Column("name", String(256), primary_key=True))

promotions = Table(
    "cfcre_promotions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("model", ForeignKey("cfcre_models.name"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("old_version", String(64)),
    Column("new_version", String(64), nullable=False),
    Column("stream", String(128)),
    Column("batch_hash", String(64)),
    Column("metrics", JSON, nullable=False),
    Column("verdict", String(16)),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("alias_moved_at", UtcDateTime),  # NULL: the registry's alias may still point elsewhere
    CheckConstraint(_one_of("kind", ("gate", "promote", "rollback")), name="cfcre_kind"),
    Index("cfcre_promotions_model", "model", "id"),
)

# A row stays when nobody leads, so that there is always one to lock.
leaders = Table(
    "cfcre_leaders",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("holder", String(256)),
    Column("since", UtcDateTime),
    Column("leased_until", UtcDateTime),
    CheckConstraint(
        "(holder IS NULL) = (since IS NULL) AND (holder IS NULL) = (leased_until IS NULL)",
        name="cfcre_leader_whole",
    ),
)
