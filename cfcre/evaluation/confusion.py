"""The confusion matrix of the relations that are hardest to tell apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["confusion_counts"]

_OTHERS = "(all others)"


def confusion_counts(
    truth: Sequence[str],
    predicted: Sequence[str],
    relations: Sequence[str],
    cosine: npt.NDArray[np.float32],
    *,
    most: int = 12,
) -> dict[str, Any]:
    """Count answers among a few relations, and all others as one more.

    A matrix of every relation can not be read where there are eighty. Chosen are the relations of
    the pairs that were confused most often, then those of the pairs whose prototypes are most
    alike. Nothing is left out: the counts add up to the number of rows.

    Args:
        truth: Relation of each row.
        predicted: Answer to each row.
        relations: Relations that the model knows, in order of arrival.
        cosine: Cosine of their prototypes, relations × relations.
        most: So many relations at most.

    Returns:
        ``relations``: names, the last one standing for all others where there are any;
        ``counts``: rows are true relations, columns answers.
    """
    chosen: list[str] = []
    for pair in [*_confused(truth, predicted), *_alike(relations, cosine)]:
        for name in pair:
            if name not in chosen and len(chosen) < most:
                chosen.append(name)
    seen = set(truth) | set(predicted)
    chosen = [name for name in chosen if name in seen] or sorted(seen)[:most]
    names = [*chosen]
    if seen - set(chosen):
        names.append(_OTHERS)
    place = {name: i for i, name in enumerate(chosen)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    last = len(names) - 1
    for true, answer in zip(truth, predicted, strict=True):
        counts[place.get(true, last), place.get(answer, last)] += 1
    return {"relations": names, "counts": counts.tolist()}


def _confused(truth: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, str]]:
    pairs = Counter((t, p) for t, p in zip(truth, predicted, strict=True) if t != p)
    return [pair for pair, _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]


def _alike(relations: Sequence[str], cosine: npt.NDArray[np.float32]) -> list[tuple[str, str]]:
    first, second = np.triu_indices(len(relations), k=1)
    order = np.argsort(-cosine[first, second], kind="stable")
    return [(relations[first[i]], relations[second[i]]) for i in order]
