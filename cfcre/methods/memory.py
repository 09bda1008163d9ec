"""Which examples a state keeps for later tasks."""

from __future__ import annotations

from collections.abc import Sequence

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Session
from cfcre.methods.state import LearnerState
from cfcre.modeling.memory import select_exemplars

__all__ = ["update_memory"]


def update_memory(
    state: LearnerState,
    train: Sequence[RelationExample],
    session: Session,
    *,
    size: int | None,
) -> None:
    """Select anew for every relation of the task, over its old memory and its new examples.

    Memory keeps catalogue order; the memory of relations that are not in the task is untouched.

    Args:
        state: Its memory is replaced.
        train: D_k.
        session: Seeds and settings.
        size: Examples a relation; None keeps every one.
    """
    present = {e.relation for e in train}
    kept = [e for e in state.memory if e.relation not in present]
    candidates: dict[str, list[RelationExample]] = {}
    seen: set[str] = set()
    for e in [*(m for m in state.memory if m.relation in present), *train]:
        if e.content_key not in seen:
            seen.add(e.content_key)
            candidates.setdefault(e.relation, []).append(e)
    pool = [e for rows in candidates.values() for e in rows]
    if size is None:
        kept += pool
    else:
        state.encoder.to(session.compute.device)
        represented = session.represent(state, session.encode(state, pool)).numpy()
        start = 0
        for rows in candidates.values():
            part = represented[start : start + len(rows)]
            kept += [rows[i] for i in select_exemplars(part, size, session.settings.seed)]
            start += len(rows)
    order = {relation: i for i, relation in enumerate(state.catalogue)}
    state.memory = sorted(kept, key=lambda e: order[e.relation])
