"""Connections and transactions of the ledger, for SQLite and Postgres alike.

Every change happens in one write transaction that first locks what it is about: SQLite locks the
whole file (``BEGIN IMMEDIATE``), Postgres the stream's row (``SELECT … FOR UPDATE``). After the
lock both show the newest committed rows, so that read, decide and write are one step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.pool import NullPool

from cfcre.errors import CfcreError, ConfigurationError, LedgerUnavailable
from cfcre.operations.ledger.tables import SCHEMA_VERSION, metadata, models, schema_version, streams

__all__ = ["Database", "insert_if_missing", "lock_model", "lock_stream"]

_DIALECTS = ("sqlite", "postgresql")
# Any constant will do; it only has to be the same in every process that creates the schema.
_SCHEMA_LOCK = 0x63666372


class Database:
    """One ledger database.

    Args:
        url: SQLAlchemy URL; its password is never shown.
        timeout_seconds: How long to wait for another process's transaction.

    Raises:
        ConfigurationError: The URL is not one of a supported database, or its driver is missing.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30.0) -> None:
        parsed = _parse(url)
        # Query values may hold a password too.
        self.safe_url = parsed.set(query={}).render_as_string(hide_password=True)
        self._file = _sqlite_file(parsed)
        self._engine = _engine(parsed, timeout_seconds, self.safe_url)

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
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(cfcre_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction.

        Raises:
            LedgerUnavailable: The database did not answer.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    def create(self) -> None:
        """Create the tables where they are missing; safe from several processes at once.

        Raises:
            ConfigurationError: The ledger was written by another version of its schema.
            LedgerUnavailable: The database did not answer.
        """
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK}
                )
            metadata.create_all(connection)
            found = connection.execute(select(schema_version.c.version)).scalar_one_or_none()
            if found is None:
                connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
            elif found != SCHEMA_VERSION:
                raise ConfigurationError(
                    f"the ledger {self.safe_url} has schema {found}, this version of cfcre reads "
                    f"{SCHEMA_VERSION}; use the matching version or another --ledger"
                )

    def close(self) -> None:
        """Close pooled connections; the object stays usable."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            cause = " ".join(str(error.orig).split())
            if "no such table" in cause or getattr(error.orig, "sqlstate", None) == "42P01":
                raise ConfigurationError(
                    f"the ledger {self.safe_url} has no tables; create it first "
                    "(any cfcre command that writes does)"
                ) from error
            if isinstance(error, ProgrammingError):
                raise CfcreError(f"the ledger {self.safe_url} refused: {cause}") from error
            raise LedgerUnavailable(
                f"the ledger {self.safe_url} did not answer: {cause}; try again"
            ) from error
        except DBAPIError as error:
            cause = " ".join(str(error.orig).split())
            if "not a database" in cause:
                raise ConfigurationError(
                    f"the ledger {self.safe_url} is not a SQLite database; give another --ledger"
                ) from error
            raise CfcreError(f"the ledger {self.safe_url} refused: {cause}") from error


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


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The URL and the error that quotes it are left out: they may hold a password.
        raise ConfigurationError(
            "the ledger's URL is not a SQLAlchemy URL; give sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    if parsed.get_backend_name() not in _DIALECTS:
        raise ConfigurationError(
            f"the ledger can not be kept in {parsed.get_backend_name()!r}; "
            "give sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "the ledger is shared by several processes and can not be in memory; give sqlite:///FILE"
        )
    return parsed


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return None if url.database.startswith("file:") else Path(url.database)


def _engine(url: URL, timeout_seconds: float, safe_url: str) -> Engine:
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        # No pool: a connection kept over a fork, or open while files are removed, does harm, and
        # opening a file costs less than a millisecond.
        options |= {"poolclass": NullPool, "connect_args": {"timeout": timeout_seconds}}
    else:
        options |= {"pool_pre_ping": True}
    try:
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"the driver of {safe_url} is not installed ({error}); install it, "
            "for Postgres: pip install 'psycopg[binary]'"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions by itself: _begin_sqlite decides their kind.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    # Kept in the file; only the first process changes it, and waits for the others to do so.
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads, then writes, fails at once when another one wrote between.
    writes = connection.get_execution_options().get("cfcre_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
