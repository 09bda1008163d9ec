"""Pure functions over the accuracy matrix.

The accuracy matrix A is lower triangular: row t holds the accuracy on the test sets of tasks
1 … t after task t was learned, ``A[t][i]`` for i ≤ t. Every prediction is among all relations seen
so far; the task of a row is never told to the model.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["AccuracyMatrix", "average_accuracy", "average_forgetting", "check_matrix"]

AccuracyMatrix = Sequence[Sequence[float]]


def check_matrix(matrix: AccuracyMatrix) -> None:
    """Raise ValueError unless the t-th row has t entries."""
    for t, row in enumerate(matrix, start=1):
        if len(row) != t:
            raise ValueError(f"row {t} of an accuracy matrix has {len(row)} entries, not {t}")


def average_accuracy(matrix: AccuracyMatrix) -> float:
    """``1/T sum_i A[T][i]``: mean over tasks after the last one.

    Equal to the accuracy over all test rows, the literature's metric, where every task has as many
    test rows; the evaluation reports that one too, as ``overall_accuracy``.

    Source: Lopez-Paz and Ranzato, "Gradient Episodic Memory", 2017.
    """
    check_matrix(matrix)
    last = matrix[-1]
    return sum(last) / len(last)


def average_forgetting(matrix: AccuracyMatrix) -> float:
    """``1/(T-1) sum_{i<T} ( max_{i<=t<T} A[t][i] - A[T][i] )``; 0 for the first task.

    How far, on average, each earlier task has fallen from the best it ever was. Negative where
    earlier tasks improved.

    Source: Chaudhry et al., "Riemannian Walk", 2018.
    """
    check_matrix(matrix)
    last = len(matrix) - 1
    if last == 0:
        return 0.0
    falls = [max(matrix[t][i] for t in range(i, last)) - matrix[last][i] for i in range(last)]
    return sum(falls) / last
