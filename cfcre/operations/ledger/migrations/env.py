"""Alembic runs this file around every command; the caller's transaction is in the attributes."""

from __future__ import annotations

from alembic import context

from cfcre.operations.ledger.tables import REVISION_TABLE, metadata

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    # Both databases undo DDL with the transaction.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
