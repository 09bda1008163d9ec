"""Leader leases: which of several watchers works."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of leaders, and shut out code that knows no revisions."""
    op.create_table(
        "cfcre_leaders",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("holder", sa.String(256)),
        sa.Column("since", sa.DateTime()),
        sa.Column("leased_until", sa.DateTime()),
        sa.CheckConstraint(
            "(holder IS NULL) = (since IS NULL) AND (holder IS NULL) = (leased_until IS NULL)",
            name="cfcre_leader_whole",
        ),
    )
    # The first release reads this number, accepts 1 alone, and says so otherwise.
    op.execute("UPDATE cfcre_schema SET version = 2")
