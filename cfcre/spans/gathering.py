"""Rows of a matrix by number."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["gather_rows"]


def gather_rows(values: Tensor, rows: Tensor) -> Tensor:
    """``values[rows]`` for a matrix.

    An embedding look-up does the same as indexing; its backward pass adds up the rows in parallel
    and in a fixed order, where that of indexing walks them one at a time on a CPU.

    Args:
        values: float ``[N, H]``.
        rows: int64 ``[Q]`` in [0, N).

    Returns:
        ``[Q, H]``.
    """
    return functional.embedding(rows, values)
