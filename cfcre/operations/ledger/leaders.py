"""Leader leases: one of several equal processes works, and another takes over when it is gone.

The rules are those of a claim: the lease runs by the ledger's clock, read once the row is locked;
an expired lease that nobody took over still holds. A leader that was paused may believe for a
moment longer that it leads, so what it does must be safe twice: a reconcile step is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from cfcre.errors import ConfigurationError
from cfcre.operations.ledger.database import insert_if_missing
from cfcre.operations.ledger.records import LeaderRecord
from cfcre.operations.ledger.tables import leaders

__all__ = ["acquire", "check_lease", "leader", "release"]

_LONGEST_NAME, _LONGEST_HOLDER = 128, 256


def check_lease(name: str, holder: str, lease_seconds: float) -> None:
    """Check what a caller gives.

    Raises:
        ConfigurationError: A name is empty or too long, or the lease is not positive.
    """
    for what, given, longest in (
        ("a leader lease", name, _LONGEST_NAME),
        ("the holder of a leader lease", holder, _LONGEST_HOLDER),
    ):
        if not 1 <= len(given) <= longest:
            raise ConfigurationError(
                f"the name of {what} has 1 to {longest} characters, got {len(given)}"
            )
    if not lease_seconds > 0:
        raise ConfigurationError(f"a lease lasts more than 0 seconds, got {lease_seconds}")


def acquire(
    connection: Connection,
    name: str,
    holder: str,
    lease_seconds: float,
    clock: Callable[[], datetime],
) -> bool:
    """Take or renew the lease, inside a write transaction; whether the holder leads now."""
    insert_if_missing(connection, leaders, name=name)
    this = leaders.c.name == name
    row = connection.execute(select(leaders).where(this).with_for_update()).one()
    now = clock()
    if row.holder not in {None, holder} and row.leased_until > now:
        return False
    until = now + timedelta(seconds=lease_seconds)
    since = row.since if row.holder == holder else now
    connection.execute(
        update(leaders).where(this).values(holder=holder, since=since, leased_until=until)
    )
    return True


def release(connection: Connection, name: str, holder: str) -> None:
    """Give the lease back if the holder has it."""
    connection.execute(
        update(leaders)
        .where(leaders.c.name == name, leaders.c.holder == holder)
        .values(holder=None, since=None, leased_until=None)
    )


def leader(connection: Connection, name: str, now: datetime) -> LeaderRecord | None:
    """Who leads, or None where nobody does: never taken, given back, or run out."""
    row = connection.execute(select(leaders).where(leaders.c.name == name)).first()
    if row is None or row.holder is None or row.leased_until <= now:
        return None
    return LeaderRecord(row.name, row.holder, row.since, row.leased_until)
