"""Score a candidate, and the champion beside it, on the held-out rows of every task so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cfcre.data.schema import RelationExample
from cfcre.errors import DataError
from cfcre.evaluation.confusion import confusion_counts
from cfcre.evaluation.metrics import average_accuracy, average_forgetting

__all__ = ["RelationPredictor", "TaskTestSet", "evaluate"]

#: Pairs of relations listed as confused, at most.
_MAX_CONFUSIONS = 30


class RelationPredictor(Protocol):
    """What scoring needs of a model; :class:`cfcre.methods.predictor.Predictor` is one."""

    prototypes: npt.NDArray[np.float32]

    @property
    def relations(self) -> list[str]:
        """Relations in order of arrival."""

    def predict_best(self, examples: Sequence[RelationExample]) -> list[str]:
        """The nearest relation of each example."""


@dataclass(frozen=True)
class TaskTestSet:
    """Held-out rows of one task.

    Attributes:
        task: 1-based index.
        batch: Batch hash.
        batch_name: Name for people.
        examples: Test rows; never empty.
    """

    task: int
    batch: str
    batch_name: str
    examples: Sequence[RelationExample]


def evaluate(
    candidate: RelationPredictor,
    champion: RelationPredictor | None,
    tasks: Sequence[TaskTestSet],
    previous_matrix: Sequence[Sequence[float]],
    *,
    champion_version: str | None = None,
) -> dict[str, Any]:
    """Evaluate after the last of ``tasks`` was learned.

    The champion is asked about the same rows. A relation it has never seen counts as wrong: that is
    what a user of the champion gets.

    Args:
        candidate: The new model.
        champion: The serving model, if there is one.
        tasks: Test sets of every task so far, the newest last.
        previous_matrix: Accuracy matrix before this task, ``len(tasks) - 1`` rows.
        champion_version: Its registry version, for the report.

    Returns:
        The evaluation as JSON-able data; the keys are listed in ``docs/data-formats.md``.

    Raises:
        DataError: A task has no test rows, or the earlier matrix does not fit the tasks.
    """
    if len(previous_matrix) != len(tasks) - 1:
        raise DataError(
            f"{len(tasks)} tasks need an accuracy matrix of {len(tasks) - 1} earlier rows, "
            f"got {len(previous_matrix)}"
        )
    for task in tasks:
        if not task.examples:
            raise DataError(f"task {task.task} ({task.batch_name}) has no test rows")
    rows = [e for task in tasks for e in task.examples]
    sizes = [len(task.examples) for task in tasks]
    truth = [e.relation for e in rows]
    predicted = candidate.predict_best(rows)
    right = _equal(predicted, truth)
    accuracy = _by_task(right, sizes)
    matrix = [*(list(row) for row in previous_matrix), accuracy]
    cosine = candidate.prototypes @ candidate.prototypes.T
    result: dict[str, Any] = {
        "task": tasks[-1].task,
        "relations_seen": len(candidate.relations),
        "task_relations": sorted({e.relation for e in tasks[-1].examples}),
        "tasks": [
            {"task": t.task, "batch": t.batch, "batch_name": t.batch_name, "rows": len(t.examples)}
            for t in tasks
        ],
        "accuracy_matrix": matrix,
        "accuracy": accuracy,
        "average_accuracy": average_accuracy(matrix),
        "overall_accuracy": float(right.mean()),
        "forgetting": average_forgetting(matrix),
        "per_relation": _per_relation(right, truth),
        "champion": None,
        "relation_changes": [],
        "negative_flips": {"count": 0, "rows": 0, "rate": 0.0},
        "similar_confusions": _confusions(truth, predicted, candidate.relations, cosine),
        "confusion": confusion_counts(truth, predicted, candidate.relations, cosine),
        "similarity": {
            "relations": candidate.relations,
            "matrix": [[round(float(c), 4) for c in row] for row in cosine],
        },
    }
    if champion is not None:
        champion_right = _equal(champion.predict_best(rows), truth)
        champion_accuracy = _by_task(champion_right, sizes)
        champion_relations = _per_relation(champion_right, truth)
        flips = int((champion_right & ~right).sum())
        result["champion"] = {
            "version": champion_version,
            "accuracy": champion_accuracy,
            "average_accuracy": sum(champion_accuracy) / len(champion_accuracy),
            "overall_accuracy": float(champion_right.mean()),
            "per_relation": champion_relations,
        }
        result["relation_changes"] = _changes(
            champion_relations, result["per_relation"], set(champion.relations)
        )
        result["negative_flips"] = {
            "count": flips,
            "rows": len(rows),
            "rate": flips / len(rows),
        }
    return result


def _equal(predicted: Sequence[str], truth: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.asarray([p == t for p, t in zip(predicted, truth, strict=True)], dtype=np.bool_)


def _by_task(right: npt.NDArray[np.bool_], sizes: Sequence[int]) -> list[float]:
    parts = np.split(right, np.cumsum(sizes)[:-1])
    return [float(part.mean()) for part in parts]


def _per_relation(right: npt.NDArray[np.bool_], truth: Sequence[str]) -> dict[str, Any]:
    support = Counter(truth)
    hits = Counter(t for t, ok in zip(truth, right, strict=True) if ok)
    return {
        relation: {"accuracy": hits[relation] / count, "support": count}
        for relation, count in sorted(support.items())
    }


def _changes(
    before: dict[str, Any], after: dict[str, Any], known: set[str]
) -> list[dict[str, Any]]:
    changes = [
        {
            "relation": relation,
            "champion": before[relation]["accuracy"],
            "candidate": after[relation]["accuracy"],
            "change": after[relation]["accuracy"] - before[relation]["accuracy"],
            "support": after[relation]["support"],
        }
        for relation in after
        if relation in known
    ]
    return sorted(changes, key=lambda c: (c["change"], c["relation"]))


def _confusions(
    truth: Sequence[str],
    predicted: Sequence[str],
    relations: Sequence[str],
    cosine: npt.NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Confused pairs, most frequent first, with the cosine of their prototypes."""
    index = {relation: i for i, relation in enumerate(relations)}
    pairs = Counter((t, p) for t, p in zip(truth, predicted, strict=True) if t != p)
    return [
        {
            "true": t,
            "predicted": p,
            "count": count,
            "similarity": round(float(cosine[index[t], index[p]]), 4) if t in index else None,
        }
        for (t, p), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[
            :_MAX_CONFUSIONS
        ]
    ]
