"""The element-wise maximum over any range of rows, by a sparse table.

Level k holds the maximum over every 2^k rows that follow each other, so the table of N rows of H
values takes at most N·H·log2(longest range) values, and a range of any length is the maximum of two
rows of one level. Rows that both halves of a query share are compared with themselves: the result
is exact, and so is its gradient, since each half then passes one half of it on to the same value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cfcre.spans.gathering import gather_rows

__all__ = ["RangeMaxima"]


class RangeMaxima:
    """Maxima over ranges of rows.

    Args:
        values: float ``[N, H]``.
        longest: Most rows of a range that will be asked for.
    """

    def __init__(self, values: Tensor, longest: int) -> None:
        levels = [values]
        rows = 1
        while 2 * rows <= min(longest, len(values)):
            below = levels[-1]
            levels.append(torch.maximum(below[:-rows], below[rows:]))
            rows *= 2
        self._table = torch.cat(levels) if len(levels) > 1 else values
        sizes = torch.tensor([0] + [len(level) for level in levels[:-1]])
        self._offsets = sizes.cumsum(0).to(values.device)

    def query(self, start: Tensor, end: Tensor) -> Tensor:
        """Maxima over rows ``[start, end)``.

        Args:
            start: int64 ``[Q]``.
            end: int64 ``[Q]``, exclusive; a range that is empty or inverted gives zeros.

        Returns:
            ``[Q, H]``.
        """
        length = end - start
        # frexp is exact where a floating-point logarithm is not: length = mantissa * 2^exponent.
        level = torch.frexp(length.clamp(min=1).double()).exponent.long() - 1
        offset = self._offsets[level]
        empty = length <= 0
        first = (offset + start).masked_fill(empty, 0)
        second = (offset + end - (1 << level)).masked_fill(empty, 0)
        result = torch.maximum(gather_rows(self._table, first), gather_rows(self._table, second))
        return result.masked_fill(empty[:, None], 0.0)
