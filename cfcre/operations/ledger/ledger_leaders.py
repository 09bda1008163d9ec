"""The ledger's methods about leader leases."""

from __future__ import annotations

from cfcre.operations.ledger import leaders as _leaders
from cfcre.operations.ledger.ledger_base import LedgerBase
from cfcre.operations.ledger.records import LeaderRecord

__all__ = ["LeaderLedger"]


class LeaderLedger(LedgerBase):
    """Which of several watchers works."""

    def acquire_leader(self, name: str, holder: str, lease_seconds: float) -> bool:
        """Take the lease where it is free or has run out, or renew it.

        Call it again well before the lease ends, and stop to work when it answers False or raises.

        Args:
            name: What is led, such as ``watch``; at most 128 characters.
            holder: Name of this process, unlike any other's; at most 256 characters.
            lease_seconds: Without another call somebody else may take over after so long.

        Returns:
            Whether the holder leads now.

        Raises:
            ConfigurationError: A name is empty or too long, or the lease is not positive.
            LedgerUnavailable: The database did not answer; whoever led leads until the lease ends.
        """
        _leaders.check_lease(name, holder, lease_seconds)
        with self._database.write() as connection:
            return _leaders.acquire(connection, name, holder, lease_seconds, self._clock)

    def release_leader(self, name: str, holder: str) -> None:
        """Give the lease back, so that another need not wait for its end; else do nothing."""
        with self._database.write() as connection:
            _leaders.release(connection, name, holder)

    def leader(self, name: str) -> LeaderRecord | None:
        """Who leads now, or None: nobody took the lease, gave it back, or let it run out."""
        with self._database.read() as connection:
            return _leaders.leader(connection, name, self._clock())
