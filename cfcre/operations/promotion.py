"""Moving the champion: by the gate, by a person, and back.

Two systems must agree: the ledger, which is the truth and knows history, and the registry's alias,
which servers read. The ledger's row is written first and the alias follows; a process killed in
between leaves a row that says so, and :func:`reconcile_alias` finishes the move.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cfcre.errors import ConfigurationError, NotFoundError
from cfcre.operations.ledger import Claim, Ledger, Promotion
from cfcre.operations.ledger.promotions import champion_stack

__all__ = [
    "CHAMPION_ALIAS",
    "AliasTracker",
    "promote",
    "promote_candidate",
    "reconcile_alias",
    "rollback",
]

log = logging.getLogger(__name__)

CHAMPION_ALIAS = "champion"


class AliasTracker(Protocol):
    """The part of the model registry that a promotion needs."""

    def set_alias(self, alias: str, version: str) -> None:
        """Point the alias at the version."""
        ...

    def alias(self, alias: str) -> str | None:
        """The version that the alias points at, or None."""
        ...

    def versions(self) -> Sequence[Mapping[str, Any]]:
        """Every registered version, each with at least the key ``version``."""
        ...


def promote(
    ledger: Ledger, tracker: AliasTracker, version: str, *, reason: str, actor: str
) -> Promotion:
    """Make a version the champion by a person's decision.

    A version that is the champion already stays it, without a new row; its alias is repaired.

    Raises:
        NotFoundError: The registry has no such version.
        CfcreError: The champion was moved meanwhile.
        ConfigurationError: The reason is empty.
    """
    _check_reason(reason)
    _check_version(tracker, version)
    moves = ledger.promotions()
    stack = champion_stack(moves)
    champion = stack[-1] if stack else None
    if champion == version:
        reconcile_alias(ledger, tracker)
        return moves[-1]
    move = ledger.promote(version, expected_old=champion, actor=actor, reason=reason)
    _follow(ledger, tracker, move)
    return move


def rollback(ledger: Ledger, tracker: AliasTracker, *, reason: str, actor: str) -> Promotion:
    """Go back to the version that served before the champion; again goes one further back.

    Raises:
        NotFoundError: No version served before, or the registry no longer has it.
        CfcreError: The champion was moved meanwhile.
        ConfigurationError: The reason is empty.
    """
    _check_reason(reason)
    stack = champion_stack(ledger.promotions())
    if len(stack) < 2:
        now = f"version {stack[-1]} is the first champion" if stack else "there is no champion"
        raise NotFoundError(
            f"nothing to roll back to: {now}; "
            "'cfcre promote VERSION' makes any version the champion"
        )
    _check_version(tracker, stack[-2])
    move = ledger.rollback(stack[-2], expected_old=stack[-1], actor=actor, reason=reason)
    _follow(ledger, tracker, move)
    return move


def promote_candidate(
    ledger: Ledger, tracker: AliasTracker, claim: Claim, *, reason: str
) -> Promotion | None:
    """Promote what a run registered, on the verdict it recorded; calling it again changes nothing.

    The run has recorded ``model_version`` and ``verdict`` with ``Ledger.advance`` before. Where it
    is killed before this call, settling the run writes the same row.

    Returns:
        The move; None when the verdict is to hold, or when the champion that the candidate was
        judged against was moved meanwhile.

    Raises:
        LeaseLost: Another run holds the stream now.
        CfcreError: The run recorded no version or no verdict.
    """
    move = ledger.promote_candidate(claim, reason=reason)
    if move is not None:
        _follow(ledger, tracker, move)
    return move


def reconcile_alias(ledger: Ledger, tracker: AliasTracker) -> bool:
    """Point the registry's alias at the ledger's champion; the ledger is the truth.

    Returns:
        Whether the alias had to be moved.
    """
    moved = False
    while True:
        moves = ledger.promotions()
        if not moves:
            return moved
        last = moves[-1]
        if tracker.alias(CHAMPION_ALIAS) == last.new_version:
            # All moves up to here are overtaken by the one that the alias follows.
            ledger.alias_moved(last, earlier=True)
            return moved
        log.info("alias %s: moved to version %s", CHAMPION_ALIAS, last.new_version)
        tracker.set_alias(CHAMPION_ALIAS, last.new_version)
        moved = True


def _follow(ledger: Ledger, tracker: AliasTracker, move: Promotion) -> None:
    """Move the alias, then look again: a later move may have overtaken this one meanwhile."""
    tracker.set_alias(CHAMPION_ALIAS, move.new_version)
    if ledger.champion() != move.new_version:
        reconcile_alias(ledger, tracker)
    ledger.alias_moved(move)


def _check_version(tracker: AliasTracker, version: str) -> None:
    known = [str(item["version"]) for item in tracker.versions()]
    if version not in known:
        shown = ", ".join(known[-10:]) or "none"
        raise NotFoundError(
            f"version {version!r} is not in the registry (newest known: {shown}); "
            "'cfcre models' lists them"
        )


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigurationError("a move of the champion needs a reason; give --reason TEXT")
