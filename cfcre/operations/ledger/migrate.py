"""Bring a ledger's schema to the newest revision: once, under a lock, all of it or nothing.

Imported only when there is something to do: Alembic's import takes longer than most uses of the
ledger.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, select, text

from cfcre.errors import ConfigurationError
from cfcre.operations.ledger.tables import REVISION, REVISION_TABLE, schema_version

__all__ = ["alembic_config", "lock_schema", "upgrade"]

_FIRST = "0001"
# Any constant will do; it only has to be the same in every process that changes the schema.
_SCHEMA_LOCK = 0x63666372


def alembic_config(connection: Connection) -> Config:
    """What Alembic's commands need to work inside a transaction of the ledger."""
    config = Config(attributes={"connection": connection})
    # The file's options interpolate %(...)s; a folder's name may hold a percent sign.
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    return config


def lock_schema(connection: Connection, timeout_seconds: float) -> None:
    """Keep every other migration out until the transaction ends.

    SQLite's write transaction has locked the whole file already.

    Args:
        connection: A write transaction.
        timeout_seconds: How long to wait for another migration, and for a table in use.
    """
    if connection.dialect.name != "postgresql":
        return
    limit = int(timeout_seconds * 1000)
    # A long step is no fault here. Waiting for a table's lock still has an end: behind the one who
    # waits, everybody else does.
    connection.execute(text(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {limit}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})


def upgrade(connection: Connection, found: str | None, safe_url: str) -> None:
    """Apply what is missing, inside the caller's transaction that holds the schema's lock.

    A ledger made before revisions had names is taken over as the first one.

    Args:
        connection: A write transaction, after :func:`lock_schema`.
        found: The revision that the database is at, None where it names none.
        safe_url: How to name the ledger in an error.

    Raises:
        ConfigurationError: The tables were made by a newer version, or by something else.
    """
    config = alembic_config(connection)
    try:
        if found is None and _unnamed(connection, safe_url):
            command.stamp(config, _FIRST)
        command.upgrade(config, REVISION)
    except CommandError as error:
        raise ConfigurationError(
            f"the ledger {safe_url} is at revision {found!r}, which this version of cfcre does "
            "not know: a newer version migrated it; use that version or a newer one"
        ) from error


def _unnamed(connection: Connection, safe_url: str) -> bool:
    """Whether the tables are those of the first revision, made before revisions had names."""
    tables = {name for name in inspect(connection).get_table_names() if name.startswith("cfcre_")}
    tables.discard(REVISION_TABLE)
    if not tables:
        return False
    version = None
    if schema_version.name in tables:
        version = connection.execute(select(schema_version.c.version)).scalar_one_or_none()
    if version != 1:
        raise ConfigurationError(
            f"the ledger {safe_url} has tables of cfcre, but neither a revision nor schema number "
            f"1 (found {version}); restore it from a backup or give another --ledger"
        )
    return True
