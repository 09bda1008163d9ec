"""How right a learner is on the held-out rows of every task so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cfcre.benchmarking.dataset import BenchmarkTask
from cfcre.data.schema import RelationExample

__all__ = ["SIMILAR", "macro_accuracy", "micro_accuracy", "score", "similar_accuracy"]

#: Cosine of two prototypes above which their relations count as similar. Source: CEAR.
SIMILAR = 0.85


class _Predictor(Protocol):
    prototypes: npt.NDArray[np.float32]

    @property
    def relations(self) -> list[str]: ...

    def predict_best(self, examples: Sequence[RelationExample]) -> list[str]: ...


def score(predictor: _Predictor, tasks: Sequence[BenchmarkTask]) -> dict[str, Any]:
    """Predict all held-out rows of all tasks in one call, among all relations seen so far.

    Returns:
        ``right`` and ``rows`` by task, ``relations`` from name to ``[right, rows, nearest]``, where
        ``nearest`` is the largest cosine of the relation's prototype with another one, or None
        where there is no other.
    """
    rows = [e for task in tasks for e in task.held_out]
    predicted = predictor.predict_best(rows)
    hits = [p == e.relation for p, e in zip(predicted, rows, strict=True)]
    support = Counter(e.relation for e in rows)
    right = Counter(e.relation for e, hit in zip(rows, hits, strict=True) if hit)
    nearest = _nearest(predictor.prototypes)
    place = {relation: i for i, relation in enumerate(predictor.relations)}
    sizes = [len(task.held_out) for task in tasks]
    parts = np.split(np.asarray(hits), np.cumsum(sizes)[:-1])
    return {
        "right": [int(part.sum()) for part in parts],
        "rows": sizes,
        "relations": {
            relation: [right[relation], support[relation], nearest[place[relation]]]
            for relation in sorted(support)
        },
    }


def micro_accuracy(scores: Mapping[str, Any]) -> float:
    """Right rows of all tasks so far / rows of all tasks so far: the literature's metric."""
    return float(sum(scores["right"]) / sum(scores["rows"]))


def macro_accuracy(scores: Mapping[str, Any]) -> float:
    """Mean over the tasks so far of each task's accuracy."""
    pairs = zip(scores["right"], scores["rows"], strict=True)
    return float(np.mean([right / rows for right, rows in pairs]))


def similar_accuracy(
    scores: Mapping[str, Any], judge: Mapping[str, Any] | None = None
) -> tuple[float | None, int]:
    """Accuracy over the rows of relations that have a near neighbour, and how many these are.

    Args:
        scores: What is measured.
        judge: Scores of the learner whose prototypes say which relations are similar; None for
            ``scores`` itself.

    Returns:
        Accuracy, None where no relation is similar, and the number of similar relations.
    """
    judged = (judge or scores)["relations"]
    similar = [name for name, (_, _, near) in judged.items() if near is not None and near > SIMILAR]
    rows = [scores["relations"][name] for name in similar if name in scores["relations"]]
    total = sum(row[1] for row in rows)
    return (sum(row[0] for row in rows) / total if total else None), len(rows)


def _nearest(prototypes: npt.NDArray[np.float32]) -> list[float | None]:
    if len(prototypes) < 2:
        return [None] * len(prototypes)
    unit = prototypes / np.maximum(np.linalg.norm(prototypes, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return [round(float(c), 6) for c in cosine.max(axis=1)]
