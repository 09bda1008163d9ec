"""The first schema: streams, batches, claims, models and promotions.

Equals what ledgers hold that were made before revisions had names (``cfcre_schema`` says 1).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

_STATES = (
    "'seen', 'claimed', 'validated', 'training', 'evaluated', 'promoted', 'held', 'rejected', "
    "'failed'"
)
_PLACES = "'inbox', 'processed', 'rejected', 'failed'"


def _id() -> sa.types.TypeEngine[int]:
    # SQLite numbers rows by itself only for a column declared exactly INTEGER.
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table("cfcre_schema", sa.Column("version", sa.Integer(), primary_key=True))
    op.create_table(
        "cfcre_streams",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
    )
    _create_batches()
    _create_claims()
    op.create_table("cfcre_models", sa.Column("name", sa.String(256), primary_key=True))
    _create_promotions()
    op.execute("INSERT INTO cfcre_schema (version) VALUES (1)")


def _create_batches() -> None:
    op.create_table(
        "cfcre_batches",
        sa.Column("id", _id(), primary_key=True),
        sa.Column("stream", sa.String(128), sa.ForeignKey("cfcre_streams.name"), nullable=False),
        sa.Column("batch_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("manifest_key", sa.Text()),
        sa.Column("sequence", sa.BigInteger()),
        sa.Column("submitted_at", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("placed", sa.String(16), nullable=False),
        sa.Column("task", sa.Integer()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("interruptions", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime()),
        sa.Column("settled_at", sa.DateTime()),
        sa.Column("reason", sa.String(128)),
        sa.Column("detail", sa.Text()),
        sa.Column("model_version", sa.String(64)),
        sa.Column("verdict", sa.String(16)),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.UniqueConstraint("stream", "batch_hash", name="cfcre_batch_once"),
        sa.UniqueConstraint("stream", "sequence", name="cfcre_sequence_once"),
        sa.UniqueConstraint("stream", "task", name="cfcre_task_once"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="cfcre_state"),
        sa.CheckConstraint(f"placed IN ({_PLACES})", name="cfcre_placed"),
        sa.CheckConstraint("sequence >= 1", name="cfcre_sequence_positive"),
        sa.CheckConstraint(
            "state = 'rejected' OR sequence IS NOT NULL", name="cfcre_sequence_given"
        ),
        sa.CheckConstraint(
            "state NOT IN ('promoted', 'held') OR (model_version IS NOT NULL AND task IS NOT NULL)",
            name="cfcre_learned_registered",
        ),
    )


def _create_claims() -> None:
    op.create_table(
        "cfcre_claims",
        sa.Column("stream", sa.String(128), sa.ForeignKey("cfcre_streams.name"), primary_key=True),
        sa.Column("token", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("batch_id", _id(), sa.ForeignKey("cfcre_batches.id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("parent_version", sa.String(64)),
        sa.Column("champion_version", sa.String(64)),
        sa.Column("owner", sa.JSON(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(), nullable=False),
        sa.Column("leased_until", sa.DateTime(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("max_interruptions", sa.Integer(), nullable=False),
        sa.Column("retry_backoff_seconds", sa.Float(), nullable=False),
        sa.Column("error_stage", sa.String(64)),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_retryable", sa.Boolean()),
        sa.Column("error_reason", sa.String(128)),
        sa.Column("ended_at", sa.DateTime()),
        sa.Column("ending", sa.String(16)),
        sa.Column("outcome", sa.JSON()),
    )
    op.create_index("cfcre_claims_run_name", "cfcre_claims", ["run_name"])
    live = sa.text("ended_at IS NULL")
    op.create_index(
        "cfcre_one_live_claim",
        "cfcre_claims",
        ["stream"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )


def _create_promotions() -> None:
    op.create_table(
        "cfcre_promotions",
        sa.Column("id", _id(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(256), sa.ForeignKey("cfcre_models.name"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("old_version", sa.String(64)),
        sa.Column("new_version", sa.String(64), nullable=False),
        sa.Column("stream", sa.String(128)),
        sa.Column("batch_hash", sa.String(64)),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("alias_moved_at", sa.DateTime()),
        sa.CheckConstraint("kind IN ('gate', 'promote', 'rollback')", name="cfcre_kind"),
    )
    op.create_index("cfcre_promotions_model", "cfcre_promotions", ["model", "id"])
