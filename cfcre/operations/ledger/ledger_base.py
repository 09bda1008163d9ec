"""What all parts of the ledger's interface share: the database, the clock, locked transactions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, Row

from cfcre.config.names import model_of_stream
from cfcre.operations.ledger import claims as _claims
from cfcre.operations.ledger import operator as _operator
from cfcre.operations.ledger.database import Database, lock_stream
from cfcre.operations.ledger.records import BatchRecord, Claim
from cfcre.operations.ledger.tables import REVISION

__all__ = ["LedgerBase"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LedgerBase:
    """Base of :class:`cfcre.operations.ledger.Ledger`; see there."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "cfcre",
        clock: Callable[[], datetime] = _utc_now,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._database = Database(url, timeout_seconds=timeout_seconds)
        self._registered = model
        self._model = model
        self._clock = clock

    @property
    def safe_url(self) -> str:
        """The URL without its password."""
        return self._database.safe_url

    @property
    def model(self) -> str:
        """Name of the registered model whose champion is asked about and moved."""
        return self._model

    def for_model(self, model: str) -> Self:
        """The same ledger, asked about another registered model's champion.

        Runs need no such view: a claim knows the model of its stream.
        """
        view = copy.copy(self)
        view._model = model
        return view

    def now(self) -> datetime:
        """The present moment by the ledger's clock."""
        return self._clock()

    def create(self) -> None:
        """Make the schema ready for this code; safe from several processes at once.

        A SQLite file is created or migrated, an empty Postgres database filled. A Postgres ledger
        that has tables is only looked at: it is migrated on purpose, by :meth:`migrate`.

        Raises:
            ConfigurationError: The schema is older or newer, or the user may not create tables.
        """
        self._database.create()

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema to the newest revision; safe from several processes at once.

        Returns:
            The revision before, None for a new ledger or one that names none, and the one now.

        Raises:
            ConfigurationError: A newer version migrated it, or the user may not change tables.
        """
        return self._database.migrate()

    def schema(self) -> tuple[str | None, str]:
        """The schema's revision, None where the ledger names none, and the one this code needs.

        Raises:
            LedgerUnavailable: The database did not answer.
        """
        return self._database.revision(), REVISION

    def close(self) -> None:
        """Give pooled connections back; the object stays usable."""
        self._database.close()

    def _model_of(self, stream: str) -> str:
        """The registered model that a stream's tasks make versions of."""
        return model_of_stream(self._registered, stream)

    @contextmanager
    def _verified(self, claim: Claim) -> Iterator[tuple[Connection, Row[Any]]]:
        """A write transaction in which the claim is known to hold its stream."""
        with self._database.write() as connection:
            lock_stream(connection, claim.stream)
            yield connection, _claims.verify(connection, claim)

    @contextmanager
    def _locked_batch(
        self, batch: str, stream: str | None
    ) -> Iterator[tuple[Connection, BatchRecord]]:
        """A write transaction with a batch, read again once its stream is locked."""
        with self._database.write() as connection:
            found = _operator.find_batch(connection, batch, stream)
            lock_stream(connection, found.stream)
            yield connection, _operator.find_batch(connection, found.batch_hash, found.stream)
