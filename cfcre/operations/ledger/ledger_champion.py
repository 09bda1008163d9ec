"""The ledger's methods about the champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfcre.operations.ledger import batches as _batches
from cfcre.operations.ledger import outcomes as _outcomes
from cfcre.operations.ledger import promotions as _promotions
from cfcre.operations.ledger.database import lock_model
from cfcre.operations.ledger.ledger_base import LedgerBase
from cfcre.operations.ledger.records import Claim, Promotion

__all__ = ["ChampionLedger"]


class ChampionLedger(LedgerBase):
    """The champion and its history."""

    def champion(self) -> str | None:
        """The model version that serves, or None."""
        with self._database.read() as connection:
            return _promotions.champion_version(connection, self._model)

    def promotions(self) -> list[Promotion]:
        """Every move of the champion, oldest first."""
        with self._database.read() as connection:
            return _promotions.history(connection, self._model)

    def promote(
        self,
        version: str,
        *,
        expected_old: str | None,
        actor: str,
        reason: str,
        metrics: Mapping[str, Any] | None = None,
        verdict: str | None = None,
    ) -> Promotion:
        """Make a version the champion, if the champion is still the expected one.

        The registry's alias is the caller's task, see :mod:`cfcre.operations.promotion`.

        Raises:
            CfcreError: The champion was moved meanwhile.
        """
        return self._move(
            "promote",
            version,
            expected_old=expected_old,
            actor=actor,
            reason=reason,
            metrics=metrics or {},
            verdict=verdict,
        )

    def rollback(
        self, version: str, *, expected_old: str | None, actor: str, reason: str
    ) -> Promotion:
        """Go back to the version before the champion.

        Raises:
            CfcreError: The champion was moved meanwhile.
            ConfigurationError: ``version`` is not the one before the champion.
        """
        return self._move(
            "rollback",
            version,
            expected_old=expected_old,
            actor=actor,
            reason=reason,
            metrics={},
            verdict=None,
        )

    def promote_candidate(self, claim: Claim, *, reason: str) -> Promotion | None:
        """Promote the version that a run registered, on the verdict it recorded; idempotent.

        Returns:
            The move; None when the verdict is to hold, or when the champion it was judged against
            was moved meanwhile.

        Raises:
            LeaseLost: The claim was settled or taken over.
            CfcreError: The run recorded no version or no verdict.
        """
        with self._verified(claim) as (connection, row):
            return _outcomes.promote_by_gate(
                connection,
                row,
                model=self._model_of(claim.stream),
                reason=reason,
                now=self._clock(),
            )

    def pending_alias(self) -> bool:
        """Whether a move of the champion is not known to have reached the registry's alias."""
        with self._database.read() as connection:
            return _promotions.pending_alias(connection, self._model)

    def alias_moved(self, promotion: Promotion, *, earlier: bool = False) -> None:
        """Note that the registry's alias follows this move.

        Args:
            promotion: The move.
            earlier: Also note it for all earlier moves, which this one has overtaken.
        """
        with self._database.write() as connection:
            _promotions.mark_alias_moved(
                connection, self._model, promotion.id, earlier=earlier, now=self._clock()
            )

    def makes_versions(self, stream: str) -> bool:
        """Whether the stream's tasks make versions of this model."""
        return self._model_of(stream) == self._model

    def _move(
        self,
        kind: str,
        version: str,
        *,
        expected_old: str | None,
        actor: str,
        reason: str,
        metrics: Mapping[str, Any],
        verdict: str | None,
    ) -> Promotion:
        with self._database.write() as connection:
            lock_model(connection, self._model)
            learned = _batches.batch_of_version(connection, version, self.makes_versions)
            return _promotions.move_champion(
                connection,
                self._model,
                version,
                expected_old=expected_old,
                kind=kind,
                actor=actor,
                reason=reason,
                stream=learned.stream if learned else None,
                batch_hash=learned.batch_hash if learned else None,
                metrics={**(_outcomes.summary(learned) if learned else {}), **metrics},
                verdict=verdict or (learned.verdict if learned else None),
                now=self._clock(),
            )
