"""Thresholds on scores: the one with the best F1, and the one that a share of pairs reaches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_threshold", "threshold_of_share"]

Array = npt.NDArray[np.float32]


def best_threshold(scores: Array, right: npt.NDArray[np.bool_], labelled: int) -> float:
    """Least score with the best F1; of equally good ones the largest.

    Args:
        scores: Of everything that could be said.
        right: Whether it is labelled.
        labelled: Everything that is labelled, also what no score is for.

    Returns:
        A threshold between two scores; above all of them where nothing is right.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order].astype(np.float64)
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + labelled)
    # A cut can not divide equal scores.
    cut = np.append(sorted_scores[1:] < sorted_scores[:-1], True)[: len(scores)]
    if not len(scores) or not hits[-1]:
        return _above(sorted_scores)
    last = int(np.argmax(np.where(cut, f1, -1.0)))
    return _between(sorted_scores, last)


def threshold_of_share(scores: Array, pairs: int, share: float) -> float:
    """Least score that no more than a share of all pairs reach."""
    allowed = int(share * pairs)
    ordered = np.sort(scores.astype(np.float64))[::-1]
    while allowed and allowed < len(ordered) and ordered[allowed] == ordered[allowed - 1]:
        allowed -= 1
    if allowed == 0:
        return _above(ordered)
    return _between(ordered, min(allowed, len(ordered)) - 1) if len(ordered) else -1.0


def _between(ordered: npt.NDArray[np.float64], last: int) -> float:
    """Half way between the last score that counts and the first that does not."""
    if last + 1 < len(ordered):
        return round(float(ordered[last] + ordered[last + 1]) / 2, 9)
    return round(float(ordered[last]) - 1e-6, 9)


def _above(ordered: npt.NDArray[np.float64]) -> float:
    return round(float(ordered[0]) + 1e-6, 9) if len(ordered) else 1.0
