"""The ledger's methods about batches."""

from __future__ import annotations

from collections.abc import Sequence

from cfcre.operations.ledger import batches as _batches
from cfcre.operations.ledger import operator as _operator
from cfcre.operations.ledger.database import lock_stream
from cfcre.operations.ledger.ledger_base import LedgerBase
from cfcre.operations.ledger.records import BatchRecord, Recorded

__all__ = ["BatchLedger"]


class BatchLedger(LedgerBase):
    """Recording, finding and placing batches; retry and skip."""

    def record_batch(
        self,
        stream: str,
        batch_hash: str,
        *,
        name: str,
        keys: Sequence[str],
        manifest_key: str | None = None,
        sequence: int | None = None,
        submitted_at: str = "",
    ) -> Recorded:
        """Record a batch; the same content again is the same batch.

        Without a sequence it gets the next number after the stream's highest.

        Raises:
            BatchRejected: ``sequence_conflict`` or ``manifest_invalid``; record it with
                :meth:`record_rejected`.
        """
        now = self._clock()
        with self._database.write() as connection:
            lock_stream(connection, stream, create_at=now)
            return _batches.record_batch(
                connection,
                stream,
                batch_hash,
                name=name,
                keys=keys,
                manifest_key=manifest_key,
                sequence=sequence,
                submitted_at=submitted_at or now.isoformat(),
                now=now,
            )

    def record_rejected(
        self,
        stream: str,
        batch_hash: str,
        *,
        name: str,
        keys: Sequence[str],
        reason: str,
        detail: str,
        manifest_key: str | None = None,
        sequence: int | None = None,
        submitted_at: str = "",
    ) -> Recorded:
        """Record a batch that is rejected before it ran. A running or settled one is left alone."""
        now = self._clock()
        with self._database.write() as connection:
            lock_stream(connection, stream, create_at=now)
            return _batches.record_rejected(
                connection,
                stream,
                batch_hash,
                name=name,
                keys=keys,
                manifest_key=manifest_key,
                sequence=sequence,
                submitted_at=submitted_at or now.isoformat(),
                reason=reason,
                detail=detail,
                now=now,
            )

    def relocate(
        self,
        stream: str,
        batch_hash: str,
        *,
        name: str,
        keys: Sequence[str],
        manifest_key: str | None = None,
    ) -> None:
        """Follow a waiting batch whose objects were renamed inside the inbox."""
        with self._database.write() as connection:
            lock_stream(connection, stream)
            _batches.relocate(
                connection, stream, batch_hash, name=name, keys=keys, manifest_key=manifest_key
            )

    def batch(self, batch: str, stream: str | None = None) -> BatchRecord:
        """Find a batch by hash, the first six or more characters of it, or name.

        Raises:
            NotFoundError: There is none.
            ConfigurationError: There are several.
        """
        with self._database.read() as connection:
            return _operator.find_batch(connection, batch, stream)

    def retry(self, batch: str, stream: str | None = None) -> BatchRecord:
        """Back to ``seen`` with no attempts counted; it runs next, its files move back first.

        Raises:
            NotFoundError: There is no such batch.
            ConfigurationError: It is learned or runs now, or several match.
        """
        with self._locked_batch(batch, stream) as (connection, record):
            return _operator.retry_batch(connection, record)

    def skip(self, batch: str, stream: str | None = None, *, reason: str = "") -> BatchRecord:
        """Give a waiting or failed batch up: rejected as ``skipped``; the stream goes on.

        Raises:
            NotFoundError: There is no such batch.
            ConfigurationError: It is learned or runs now, or several match.
        """
        detail = reason or "skipped by an operator"
        with self._locked_batch(batch, stream) as (connection, record):
            return _operator.skip_batch(connection, record, detail=detail, now=self._clock())

    def misplaced(self, stream: str | None = None) -> list[BatchRecord]:
        """Batches whose objects do not lie where their state wants them."""
        with self._database.read() as connection:
            return _batches.misplaced(connection, stream)

    def mark_placed(self, batch: BatchRecord, place: str) -> None:
        """Note where a batch's objects lie now, unless somebody else moved them meanwhile."""
        with self._database.write() as connection:
            lock_stream(connection, batch.stream)
            _batches.mark_placed(connection, batch, place)
