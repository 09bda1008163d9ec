"""What a database's error means for the caller: wait and try again, or change something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cfcre.errors import CfcreError, ConfigurationError, LedgerUnavailable

__all__ = ["database_errors"]

# SQLSTATE, by class where two characters are given: connection, deadlock and serialization,
# resources, locks held, operator's intervention (shutdown, statement_timeout), system; then a
# server that only reads (a standby after a failover), and a transaction that was idle too long.
_PASSING = ("08", "40", "53", "55", "57", "58", "25006", "25P03", "25P04")
_UNDEFINED_TABLE = "42P01"
_NOT_ALLOWED = "42501"
# libpq gives no SQLSTATE when a connection is refused, only these words of the server or of TLS.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed",
    "does not support SSL",
    "certificate verify failed",
    "root certificate file",
    "invalid sslmode",
    "invalid connection option",
    "is not permitted to log in",
)
_LONGEST = 500


@contextmanager
def database_errors(safe_url: str) -> Iterator[None]:
    """Turn the driver's errors into this package's.

    Args:
        safe_url: How to name the ledger, without its password.

    Raises:
        LedgerUnavailable: The database did not answer, was locked, or undid the transaction for
            another's sake; the same call may succeed later.
        ConfigurationError: The ledger is not there, or this user may not use it.
        CfcreError: The database refused a statement.
    """
    try:
        yield
    except PoolTimeout as error:
        raise LedgerUnavailable(
            f"the ledger {safe_url} did not answer: all connections of this process are in use; "
            "try again"
        ) from error
    except DBAPIError as error:
        raise _translate(error, safe_url) from error


def _translate(error: DBAPIError, safe_url: str) -> CfcreError:
    cause = " ".join(str(error.orig).split())[:_LONGEST]
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == _UNDEFINED_TABLE or "no such table" in cause:
        return ConfigurationError(
            f"the ledger {safe_url} has no tables; create them with: cfcre migrate"
        )
    if state == _NOT_ALLOWED:
        return ConfigurationError(
            f"the ledger {safe_url} refused: {cause}; grant the database user SELECT, INSERT and "
            "UPDATE on the tables, or migrate as the owner with: cfcre migrate"
        )
    if "not a database" in cause:
        return ConfigurationError(
            f"the ledger {safe_url} is not a SQLite database; give another --ledger"
        )
    if any(words in cause for words in _REFUSALS) or state.startswith(("28", "3D")):
        return ConfigurationError(f"the ledger {safe_url} can not be opened: {cause}")
    unnamed = not state and isinstance(error, OperationalError | InterfaceError)
    if error.connection_invalidated or unnamed or state.startswith(_PASSING):
        return LedgerUnavailable(f"the ledger {safe_url} did not answer: {cause}; try again")
    return CfcreError(f"the ledger {safe_url} refused: {cause}")
