"""MLflow's own database, where cfcre speaks to it without a server: its schema, brought up to date.

MLflow creates its tables when an empty database is first used, guarded by a file lock of one
machine, and upgrades them only on demand. Here both happen under a lock of the database itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cfcre.config import Settings
from cfcre.tracking.connection import Connection, is_server
from cfcre.tracking.faults import tracking_errors

__all__ = ["has_database", "migrate_database", "schema_revisions"]

# Any constant will do that no other user of the database locks.
_LOCK = 0x6D6C666C


def has_database(settings: Settings) -> bool:
    """Whether MLflow is a database here; a tracking server looks after its own."""
    return not is_server(settings.tracking_uri)


def schema_revisions(settings: Settings) -> tuple[str | None, str]:
    """The revision of MLflow's tables, None where there are none, and the one MLflow needs.

    Raises:
        TrackingUnavailable: The database did not answer.
        ConfigurationError: The database can not be used.
    """
    connection = Connection(settings)
    with tracking_errors("read the schema of MLflow's database", connection.uri):
        from alembic.runtime.migration import MigrationContext
        from mlflow.store.db.utils import _get_latest_schema_revision
        from sqlalchemy import create_engine
        from sqlalchemy.engine import make_url
        from sqlalchemy.pool import NullPool

        newest = str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]
        url = make_url(connection.uri)
        if url.get_backend_name() == "sqlite" and not _exists(url.database):
            return None, newest  # Opening it would create it.
        with create_engine(url, poolclass=NullPool).connect() as opened:
            return MigrationContext.configure(opened).get_current_revision(), newest


def migrate_database(settings: Settings) -> tuple[str | None, str]:
    """Create or upgrade MLflow's tables, once, however many processes ask at a time.

    MLflow's migrations are not undone when they are interrupted; running them again goes on where
    they stopped.

    Returns:
        The revision found, None for a new database, and the one now.

    Raises:
        TrackingUnavailable: The database did not answer.
        ConfigurationError: The database can not be used.
    """
    connection = Connection(settings)
    with (
        tracking_errors("migrate MLflow's database", connection.uri),
        connection.lock(),
        _locked(connection.uri),
    ):
        found, newest = schema_revisions(settings)
        if found is None:
            # MLflow's own upgrade takes a database with the ledger's tables for one of its own.
            _ = connection.client
        elif found != newest:
            from mlflow import db

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            # In this process: the URI may hold a password, which a command line would show.
            db.upgrade.main([connection.uri], prog_name="mlflow db upgrade", standalone_mode=False)
        return found, newest


def _exists(file: str | None) -> bool:
    from pathlib import Path

    return file is not None and (file.startswith("file:") or Path(file).exists())


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Hold Postgres's advisory lock, which ends with the connection, whatever happens."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.pool import NullPool

    url = make_url(uri)
    if url.get_backend_name() != "postgresql":
        # Embedded, the home's lock does; other databases have one migrating Job.
        yield
        return
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield
