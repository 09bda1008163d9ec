"""The schemas of the databases that no server looks after: the ledger's, and MLflow's at times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cfcre.config import Settings
from cfcre.errors import CfcreError, RetryableError

__all__ = ["SchemaState", "check_databases", "migrate_databases", "wait_for"]

Result = TypeVar("Result")
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class SchemaState:
    """One database's schema.

    Attributes:
        name: What is in it.
        place: Its URL without the password.
        found: Revision before this call; None where it has none yet.
        needed: Revision that this version of cfcre, or of MLflow, needs.
    """

    name: str
    place: str
    found: str | None
    needed: str

    @property
    def current(self) -> bool:
        """Whether nothing had to be done."""
        return self.found == self.needed


def migrate_databases(settings: Settings) -> list[SchemaState]:
    """Create or upgrade every schema; safe from several processes at once.

    Raises:
        ConfigurationError: A database can not be used, or a newer version migrated it.
        RetryableError: A database did not answer.
    """
    from cfcre.operations.ledger import Ledger

    ledger = Ledger.from_settings(settings)
    try:
        states = [SchemaState("ledger", ledger.safe_url, *ledger.migrate())]
    finally:
        ledger.close()
    return states + _tracking(settings, migrate=True)


def check_databases(settings: Settings) -> list[SchemaState]:
    """Look at every schema and change nothing.

    Raises:
        ConfigurationError: A database can not be used.
        RetryableError: A database did not answer.
    """
    from cfcre.operations.ledger import Ledger

    ledger = Ledger.from_settings(settings)
    try:
        states = [SchemaState("ledger", ledger.safe_url, *ledger.schema())]
    finally:
        ledger.close()
    return states + _tracking(settings, migrate=False)


def wait_for(
    step: Callable[[], Result],
    seconds: float,
    *,
    done: Callable[[Result], bool] = lambda _result: True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Repeat a step until it is done; give up after so many seconds.

    Args:
        step: What to do; an error that a retry can help is waited out.
        seconds: How long to go on; 0 does the step once.
        done: Whether the result is the one waited for.
        clock: Seconds that only grow.
        sleep: Waits.

    Returns:
        The last result, done or not.

    Raises:
        CfcreError: What the step raised last.
    """
    end = clock() + seconds
    while True:
        failure: CfcreError | None = None
        try:
            result = step()
        except RetryableError as error:
            failure = error
        if clock() + _PAUSE_SECONDS > end or (failure is None and done(result)):
            break
        sleep(_PAUSE_SECONDS)
    if failure is not None:
        raise failure
    return result


def _tracking(settings: Settings, *, migrate: bool) -> list[SchemaState]:
    from sqlalchemy.engine import make_url

    from cfcre.tracking import database

    if not database.has_database(settings):
        return []
    if not migrate:
        found, needed = database.schema_revisions(settings)
    elif settings.tracking.uri is None and not (settings.home / "mlflow.db").exists():
        from cfcre.operations.tracking_store import open_tracker

        found, needed = database.schema_revisions(settings)
        # An embedded store is made whole or not at all.
        open_tracker(settings)
    else:
        found, needed = database.migrate_database(settings)
    # Query values may hold a password too.
    url = make_url(settings.tracking_uri).set(query={})
    return [SchemaState("MLflow", url.render_as_string(hide_password=True), found, needed)]
