"""The ledger: the one truth about batches, tasks, claims and the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from cfcre.operations.ledger.ledger_batches import BatchLedger
from cfcre.operations.ledger.ledger_champion import ChampionLedger
from cfcre.operations.ledger.ledger_leaders import LeaderLedger
from cfcre.operations.ledger.ledger_runs import RunLedger
from cfcre.operations.ledger.overview import StreamOverview, overview
from cfcre.operations.ledger.status import ledger_status

if TYPE_CHECKING:
    from cfcre.config import Settings

__all__ = ["Ledger"]


class Ledger(BatchLedger, RunLedger, ChampionLedger, LeaderLedger):
    """A SQL ledger. Every method is one transaction and may be called from any process.

    Every method raises :class:`~cfcre.errors.LedgerUnavailable` when the database does not answer
    or stays locked by others.

    Args:
        url: SQLAlchemy URL of a SQLite file or a Postgres database.
        model: Registered model whose champion this ledger keeps.
        clock: Gives the present moment with its zone; replaced in tests.
        timeout_seconds: How long to wait for another process's transaction.

    Raises:
        ConfigurationError: The URL can not be used.
    """

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The ledger of a home, its schema not looked at yet.

        Raises:
            ConfigurationError: The URL can not be used.
        """
        return cls(
            settings.ledger_url,
            model=settings.tracking.registered_model,
            timeout_seconds=settings.ledger.timeout_seconds,
        )

    def status(self, stream: str | None = None) -> dict[str, Any]:
        """What ``cfcre status --json`` prints: every stream's tasks and waiting batches."""
        with self._database.read() as connection:
            return ledger_status(connection, self._clock(), stream)

    def overview(self) -> list[StreamOverview]:
        """Every stream at a glance, for metrics."""
        with self._database.read() as connection:
            return overview(connection)
