"""The ledger's URL, and the engine with the limits that keep one process from stopping others."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from cfcre.errors import ConfigurationError

__all__ = ["make_engine", "parse_url", "sqlite_file"]

_ACCEPTED = "give sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
_DRIVERS = {
    "sqlite": ("sqlite", "sqlite+pysqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
}
_POSTGRES = "postgresql+psycopg"
# libpq's own names; the URL's query wins over each of them.
_LIBPQ_DEFAULTS = {
    "application_name": "cfcre",
    # Without these a server that is gone without a word is noticed after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_LONGEST_CONNECT_SECONDS = 10


def parse_url(url: str) -> URL:
    """Read and check the ledger's URL.

    Raises:
        ConfigurationError: It is not one of a supported database. The URL is not quoted: it may
            hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the ledger's URL is not a SQLAlchemy URL; {_ACCEPTED}") from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigurationError(f"the ledger can not be kept in {backend!r}; {_ACCEPTED}")
    if parsed.drivername not in _DRIVERS[backend]:
        raise ConfigurationError(
            f"the ledger can not be reached by {parsed.drivername!r}; {_ACCEPTED}"
        )
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "the ledger is shared by several processes and can not be in memory; give sqlite:///FILE"
        )
    return parsed if backend == "sqlite" else parsed.set(drivername=_POSTGRES)


def sqlite_file(url: URL) -> Path | None:
    """File of a SQLite ledger, where the URL names one plainly."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return None if url.database.startswith("file:") else Path(url.database)


def make_engine(url: URL, timeout_seconds: float, safe_url: str) -> Engine:
    """An engine over a parsed URL.

    Args:
        url: From :func:`parse_url`.
        timeout_seconds: How long to wait for another process's transaction.
        safe_url: How to name the ledger in an error.

    Raises:
        ConfigurationError: The driver is not installed.
    """
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        # No pool: a connection kept over a fork, or open while files are removed, does harm, and
        # opening a file costs less than a millisecond.
        options |= {"poolclass": NullPool, "connect_args": {"timeout": timeout_seconds}}
    else:
        options |= _postgres_options(url, timeout_seconds)
    try:
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"the driver of {safe_url} is not installed ({error}); for Postgres install it with: "
            "pip install 'cfcre[postgres]'"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        limits = _limits(timeout_seconds)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(limits))
    return engine


def _postgres_options(url: URL, timeout_seconds: float) -> dict[str, Any]:
    connect_seconds = min(math.ceil(timeout_seconds), _LONGEST_CONNECT_SECONDS)
    defaults = {**_LIBPQ_DEFAULTS, "connect_timeout": str(connect_seconds)}
    return {
        # A lock, then what others have committed: that needs a snapshot a statement, whatever the
        # server's default is.
        "isolation_level": "READ COMMITTED",
        "pool_pre_ping": True,
        "pool_size": 2,
        "pool_recycle": 300,
        "pool_timeout": timeout_seconds,
        "connect_args": {
            **{name: value for name, value in defaults.items() if name not in url.query},
            # A pooler that hands out a connection a transaction knows no prepared statements.
            "prepare_threshold": None,
        },
    }


def _limits(timeout_seconds: float) -> str:
    """Limits of one transaction. Not of the session: that may be another client's next."""
    milliseconds = max(int(timeout_seconds * 1000), 1)
    limits = {
        "lock_timeout": milliseconds,
        "statement_timeout": 2 * milliseconds,
        # A process paused while it holds a lock is cut off before those who wait give up.
        "idle_in_transaction_session_timeout": max(milliseconds // 2, 1),
    }
    return "; ".join(f"SET LOCAL {name} = {value}" for name, value in limits.items())


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
