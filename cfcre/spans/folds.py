"""Cross-validation from the folds that a folder holds, as ADE's ten are published.

A fold is a pair of files ``NAME_split_K_train.json`` and ``NAME_split_K_test.json``; the types are
in ``NAME_types.json``, one file for all folds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cfcre.errors import DataError

__all__ = ["Fold", "find_folds", "mean_scores"]

_TRAIN = re.compile(r"(?P<name>.*_)?split_(?P<number>\d+)_train\.json")


class Fold(NamedTuple):
    """One division of a corpus."""

    number: int
    train: Path
    test: Path


def find_folds(folder: Path) -> tuple[list[Fold], Path | None]:
    """Folds of a folder in order of their numbers, and its types file.

    Raises:
        DataError: There is no fold, a fold lacks one of its files, or two files claim one number.
    """
    folds: dict[int, Fold] = {}
    for path in sorted(folder.iterdir()):
        match = _TRAIN.fullmatch(path.name)
        if match is None:
            continue
        test = path.with_name(path.name.replace("_train.json", "_test.json"))
        number = int(match["number"])
        if not test.is_file():
            raise DataError(f"fold {number} in {folder.name} has {path.name} but no {test.name}")
        if number in folds:
            raise DataError(
                f"fold {number} in {folder.name} is both {folds[number].train.name} and {path.name}"
            )
        folds[number] = Fold(number, path, test)
    if not folds:
        raise DataError(
            f"{folder.name} holds no fold: a fold is a pair of files NAME_split_K_train.json and "
            "NAME_split_K_test.json"
        )
    types = sorted(folder.glob("*types.json"))
    if len(types) > 1:
        raise DataError(f"{folder.name} holds {len(types)} types files; name one with --types")
    return [folds[number] for number in sorted(folds)], types[0] if types else None


def mean_scores(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over folds of each micro and macro figure.

    Args:
        scores: Each fold's scores, as JSON.

    Returns:
        Task to average to figure to ``mean`` and ``deviation``; the deviation is that of a sample,
        0 for one fold.
    """
    result: dict[str, Any] = {}
    for task in scores[0]:
        result[task] = {}
        for average in ("micro", "macro"):
            result[task][average] = {}
            for figure in ("precision", "recall", "f1"):
                values = [float(s[task][average][figure]) for s in scores]
                result[task][average][figure] = {
                    "mean": float(np.mean(values)),
                    "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                }
    return result
