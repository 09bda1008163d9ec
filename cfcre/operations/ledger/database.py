"""Transactions of the ledger, its locks and its schema, for SQLite and Postgres alike.

Every change happens in one write transaction that first locks what it is about: SQLite locks the
whole file (``BEGIN IMMEDIATE``), Postgres the stream's row (``SELECT … FOR UPDATE``). After the
lock both show the newest committed rows, so that read, decide and write are one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, ProgrammingError

from cfcre.errors import ConfigurationError
from cfcre.operations.ledger.engine import make_engine, parse_url, sqlite_file
from cfcre.operations.ledger.faults import database_errors
from cfcre.operations.ledger.tables import REVISION, REVISION_TABLE, models, streams

__all__ = ["Database", "insert_if_missing", "lock_model", "lock_stream"]

_READ_REVISION = text(f"SELECT version_num FROM {REVISION_TABLE}")  # noqa: S608
_MIGRATION_SECONDS = 300.0


class Database:
    """One ledger database.

    Args:
        url: SQLAlchemy URL; its password is never shown.
        timeout_seconds: How long to wait for another process's transaction.

    Raises:
        ConfigurationError: The URL is not one of a supported database, or its driver is missing.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30.0) -> None:
        parsed = parse_url(url)
        # Query values may hold a password too.
        self.safe_url = parsed.set(query={}).render_as_string(hide_password=True)
        self._file = sqlite_file(parsed)
        self._engine = make_engine(parsed, timeout_seconds, self.safe_url)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends without an error, else undone.

        Raises:
            LedgerUnavailable: The database did not answer or stayed locked.
        """
        with database_errors(self.safe_url), self._engine.connect() as connection:
            connection.execution_options(cfcre_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction.

        Raises:
            LedgerUnavailable: The database did not answer.
        """
        with (
            database_errors(self.safe_url),
            self._engine.connect() as connection,
            connection.begin(),
        ):
            yield connection

    def revision(self) -> str | None:
        """The revision that the schema is at; None for a ledger that names none.

        Raises:
            LedgerUnavailable: The database did not answer.
        """
        if self._file is not None and not self._file.exists():
            return None  # Opening it would create it.
        with database_errors(self.safe_url), self._engine.connect() as connection:
            try:
                found = connection.execute(_READ_REVISION).scalar_one_or_none()
            except (OperationalError, ProgrammingError) as error:
                missing = getattr(error.orig, "sqlstate", None) == "42P01"
                if missing or "no such table" in str(error.orig):
                    return None
                raise
        return None if found is None else str(found)

    def create(self) -> None:
        """Make the schema ready for this code, where that is not somebody's decision.

        An embedded ledger (SQLite) is created or migrated. A Postgres ledger is created in an
        empty database; one that has tables is shared by other processes, which may run an older
        version: it is migrated on purpose, by :meth:`migrate`.

        Raises:
            ConfigurationError: The schema is older or newer than this code, or the database user
                may not create tables.
            LedgerUnavailable: The database did not answer.
        """
        # Every command and every stage of a pipeline comes by here: one query, no lock, and
        # Alembic is not imported.
        found = self.revision()
        if found == REVISION:
            return
        if self.dialect == "postgresql":
            empty = self._empty()
            # Looked at again: another process may have created the tables between the two looks.
            found = self.revision()
            if found == REVISION:
                return
            if not empty:
                raise ConfigurationError(self._behind(found))
        self.migrate()

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema to the newest revision, once, however many processes ask at a time.

        Returns:
            The revision found, None for a new ledger or one that names none, and the one now.

        Raises:
            ConfigurationError: A newer version migrated it, or its tables are something else.
            LedgerUnavailable: The database did not answer, or another migration took minutes.
        """
        from cfcre.operations.ledger.migrate import lock_schema, upgrade

        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self.write() as connection:
            lock_schema(connection, _MIGRATION_SECONDS)
            found = None
            if inspect(connection).has_table(REVISION_TABLE):
                found = connection.execute(_READ_REVISION).scalar_one_or_none()
            if found != REVISION:
                upgrade(connection, found, self.safe_url)
        return found, REVISION

    def close(self) -> None:
        """Close pooled connections; the object stays usable."""
        self._engine.dispose()

    def _behind(self, found: str | None) -> str:
        place = f"the ledger {self.safe_url} is at revision {found or 'none'}"
        if found is None or found < REVISION:
            return (
                f"{place}, this version of cfcre needs {REVISION}; back it up, then run "
                "'cfcre migrate' as the owner of its tables"
            )
        return (
            f"{place}, this version of cfcre knows {REVISION} and older ones: a newer version "
            "migrated it; use that version or a newer one"
        )

    def _empty(self) -> bool:
        with self.read() as connection:
            names = inspect(connection).get_table_names()
        return not any(name.startswith("cfcre_") for name in names)


def insert_if_missing(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row unless its key is there, also when another process inserts it just now."""
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql.insert(table).values(**values).on_conflict_do_nothing())
    else:
        connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())


def lock_stream(connection: Connection, stream: str, *, create_at: datetime | None = None) -> bool:
    """Lock a stream's row until the transaction ends.

    Args:
        connection: A write transaction.
        stream: Name of the stream.
        create_at: Create the row with this moment where it is missing.

    Returns:
        Whether the stream is known.
    """
    if create_at is not None:
        insert_if_missing(connection, streams, name=stream, token=0, created_at=create_at)
    query = select(streams.c.name).where(streams.c.name == stream).with_for_update()
    return connection.execute(query).first() is not None


def lock_model(connection: Connection, model: str) -> None:
    """Lock a registered model's champion until the transaction ends.

    A transaction that also locks a stream locks the stream first, so that two never wait for each
    other.
    """
    insert_if_missing(connection, models, name=model)
    connection.execute(select(models.c.name).where(models.c.name == model).with_for_update())
