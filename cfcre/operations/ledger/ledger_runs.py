"""The ledger's methods about claims and runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from cfcre.errors import NotFoundError
from cfcre.operations.ledger import claims as _claims
from cfcre.operations.ledger import outcomes as _outcomes
from cfcre.operations.ledger.database import lock_stream
from cfcre.operations.ledger.ledger_base import LedgerBase
from cfcre.operations.ledger.records import (
    Activity,
    AttemptError,
    Claim,
    LiveClaim,
    Outcome,
)
from cfcre.operations.ledger.tables import claims, streams
from cfcre.operations.owner import Owner

__all__ = ["RunLedger"]


class RunLedger(LedgerBase):
    """Claiming a task, what its stages report, and settling it."""

    def claim(
        self,
        stream: str,
        *,
        owner: Owner,
        lease_seconds: float,
        max_attempts: int,
        max_interruptions: int,
        retry_backoff_seconds: float = 2.0,
        batch_hash: str | None = None,
        run: str | None = None,
    ) -> Claim | None:
        """Claim the stream's next batch.

        An attempt that is over without having been settled is settled first.

        Args:
            stream: Name of the stream.
            owner: Process whose death ends the claim at once.
            lease_seconds: Without :meth:`renew` the claim may be taken over after so long.
            max_attempts: Failures that set the batch aside.
            max_interruptions: Vanished attempts that set the batch aside.
            retry_backoff_seconds: Pause after the first failure; doubles, at most 600.
            batch_hash: Claim this batch or none; it never jumps the queue.
            run: Identity of the pipeline run that asks. Asking again with it gives the same claim
                until the batch is validated, so a call whose answer was lost can be repeated.

        Returns:
            None when there is nothing to do now: no batch is due, or another run holds the stream.

        Raises:
            NotFoundError: The named batch is not recorded in that stream.
        """
        with self._database.write() as connection:
            lock_stream(connection, stream)
            return _claims.make_claim(
                connection,
                stream,
                owner=owner,
                lease_seconds=lease_seconds,
                max_attempts=max_attempts,
                max_interruptions=max_interruptions,
                retry_backoff_seconds=retry_backoff_seconds,
                batch_hash=batch_hash,
                run=run,
                model=self._model_of(stream),
                now=self._clock(),
            )

    def check(self, claim: Claim) -> None:
        """Return if the claim still holds its stream.

        Raises:
            LeaseLost: It was settled or taken over.
        """
        with self._database.read() as connection:
            _claims.verify(connection, claim)

    def renew(self, claim: Claim, lease_seconds: float) -> None:
        """Prolong the lease from now.

        Raises:
            LeaseLost: It was settled or taken over.
        """
        with self._database.write() as connection:
            lock_stream(connection, claim.stream)
            _claims.renew(connection, claim, lease_seconds, self._clock())

    def last_error(self, claim: Claim) -> AttemptError | None:
        """What :meth:`record_error` noted last for an attempt that still holds its stream.

        Raises:
            LeaseLost: It was settled or taken over.
        """
        with self._database.read() as connection:
            row = _claims.verify(connection, claim)
        if row.error_message is None:
            return None
        return AttemptError(row.error_stage, row.error_message, bool(row.error_retryable))

    def recover(self, stream: str) -> Outcome | None:
        """Settle the stream's live claim if its lease ran out or its owner is known to be dead."""
        with self._database.write() as connection:
            lock_stream(connection, stream)
            return _claims.recover(
                connection, stream, model=self._model_of(stream), now=self._clock()
            )

    def advance(self, claim: Claim, state: str, **facts: Any) -> None:
        """Move the batch to a running state, or leave it there, and merge facts.

        Facts the ledger itself reads: ``rows``, ``relations``, ``accuracy``, ``average_accuracy``,
        ``forgetting`` (or an ``evaluation`` that holds these three), ``verdict`` (promote or hold),
        ``model_version``, ``champion_version`` (what the candidate was judged against),
        ``pipeline_run`` (which run claimed it).

        Raises:
            LeaseLost: The claim was settled or taken over.
            CfcreError: An unknown state or verdict, a step back, or a fact that is not JSON.
        """
        with self._verified(claim) as (connection, row):
            _outcomes.advance(connection, row, state, facts)

    def record_stage(self, claim: Claim, stage: str, seconds: float) -> None:
        """Note how long a stage took.

        Raises:
            LeaseLost: The claim was settled or taken over.
        """
        with self._verified(claim) as (connection, row):
            _outcomes.record_stage(connection, row, stage, seconds)

    def record_error(
        self, claim: Claim, stage: str, message: str, retryable: bool, reason: str | None = None
    ) -> None:
        """Note why the attempt fails.

        Args:
            claim: The attempt.
            stage: Where it happened.
            message: One line for people.
            retryable: Whether the same call may succeed later.
            reason: Code of a rejection; with ``retryable=False`` it rejects the batch at once.

        Raises:
            LeaseLost: The claim was settled or taken over.
        """
        with self._verified(claim) as (connection, row):
            _outcomes.record_error(connection, row, stage, message, retryable, reason)

    def settle(self, claim: Claim | str) -> Outcome:
        """End an attempt; what its stages recorded decides. A second time changes nothing.

        Args:
            claim: The claim or its run name.

        Raises:
            NotFoundError: There is no such attempt.
        """
        if isinstance(claim, Claim):
            stream, this = claim.stream, claims.c.token == claim.token
        else:
            stream, this = self._stream_of(claim), claims.c.run_name == claim
        query = select(claims).where(claims.c.stream == stream, this)
        with self._database.write() as connection:
            lock_stream(connection, stream)
            row = connection.execute(query.order_by(claims.c.token.desc()).limit(1)).first()
            if row is None:
                raise _no_such_run(claim.run_name if isinstance(claim, Claim) else claim)
            return _outcomes.settle_row(
                connection, row, model=self._model_of(stream), now=self._clock()
            )

    def live_claim(self, stream: str) -> LiveClaim | None:
        """The claim that holds the stream, or None."""
        with self._database.read() as connection:
            return _claims.activity(connection, stream, self._clock()).live

    def activity(self, stream: str | None = None) -> list[Activity]:
        """What each stream, or one, is about to do."""
        query = select(streams.c.name).order_by(streams.c.name)
        if stream is not None:
            query = query.where(streams.c.name == stream)
        now = self._clock()
        with self._database.read() as connection:
            names = list(connection.execute(query).scalars())
            return [_claims.activity(connection, name, now) for name in names]

    def _stream_of(self, run_name: str) -> str:
        query = select(claims.c.stream).where(claims.c.run_name == run_name)
        with self._database.read() as connection:
            found: str | None = connection.execute(query.limit(1)).scalar_one_or_none()
        if found is None:
            raise _no_such_run(run_name)
        return found


def _no_such_run(run_name: str) -> NotFoundError:
    return NotFoundError(f"no run {run_name!r} in the ledger; it was never claimed there")
