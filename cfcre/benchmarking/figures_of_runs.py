"""Figures that tables and pictures share: per run and over the runs of one label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfcre.benchmarking.scoring import micro_accuracy, similar_accuracy
from cfcre.benchmarking.statistics import deviation
from cfcre.benchmarking.study import RunResult
from cfcre.evaluation.metrics import average_forgetting

__all__ = [
    "accuracies",
    "by_label",
    "forgetting",
    "labels_of",
    "mean_and_deviation",
    "similar",
]


def labels_of(results: Sequence[RunResult]) -> list[str]:
    """Labels in the order of the results."""
    return list(dict.fromkeys(r.run.variant.label for r in results))


def by_label(results: Sequence[RunResult], label: str) -> list[RunResult]:
    """The runs of one label, in the order of the results."""
    return [r for r in results if r.run.variant.label == label]


def accuracies(result: RunResult) -> list[float]:
    """Micro accuracy after each task."""
    return [micro_accuracy(record["scores"]) for record in result.records]


def forgetting(result: RunResult, task: int | None = None) -> float:
    """:func:`~cfcre.evaluation.metrics.average_forgetting` after a task; None for the last."""
    return average_forgetting(
        [
            [right / rows for right, rows in zip(s["right"], s["rows"], strict=True)]
            for s in (record["scores"] for record in result.records[:task])
        ]
    )


def similar(
    result: RunResult, judge: RunResult, task: int | None = None
) -> tuple[float | None, int]:
    """:func:`~cfcre.benchmarking.scoring.similar_accuracy` after a task; None for the last."""
    place = (task or len(result.records)) - 1
    return similar_accuracy(result.records[place]["scores"], judge.records[place]["scores"])


def mean_and_deviation(values: Sequence[float], digits: int = 1) -> str:
    """``mean ± deviation``; the mean alone for one value, a dash for none."""
    if not values:
        return "–"
    mean = f"{float(np.mean(values)):.{digits}f}"
    spread = deviation(values)
    return mean if spread is None else f"{mean} ± {spread:.{digits}f}"
