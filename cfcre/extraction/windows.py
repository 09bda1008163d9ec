"""Long texts as windows that overlap, so that nothing is cut off.

A window is a run of whole words. Windows begin ``stride`` word pieces apart, or earlier where that
is needed for two promises:

- every span of up to ``widest`` words that fits a window at all lies whole in some window;
- two entities that lie, with all between them, within ``window - stride`` word pieces lie together
  in some window.

What is further apart than a window is not related by either model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Plan", "plan_windows"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """How one text is read.

    Attributes:
        windows: First word and exclusive end of each window, ascending in both.
        unread: Words that have more pieces than a window by themselves.
    """

    windows: tuple[tuple[int, int], ...]
    unread: tuple[int, ...]


def plan_windows(pieces: Index, *, window: int, stride: int, widest: int) -> Plan:
    """Divide a text.

    Args:
        pieces: int64 ``[N]``, word pieces of each word, at least one.
        window: Most word pieces of a window; start and end are not counted.
        stride: Word pieces from the begin of a window to the next.
        widest: Words of the widest span.
    """
    too_long = np.flatnonzero(pieces > window)
    found: list[tuple[int, int]] = []
    first = 0
    for stop in (*too_long.tolist(), len(pieces)):
        found += [
            (first + start, first + end)
            for start, end in _readable(pieces[first:stop], window, stride, widest)
        ]
        first = stop + 1
    return Plan(tuple(found), tuple(too_long.tolist()))


def _readable(pieces: Index, window: int, stride: int, widest: int) -> list[tuple[int, int]]:
    """Windows of a run of words that each fit into one."""
    count = len(pieces)
    if not count:
        return []
    bounds = np.concatenate([[0], np.cumsum(pieces)])
    found = []
    start = 0
    while True:
        # As many whole words as fit.
        end = int(np.searchsorted(bounds, bounds[start] + window, side="right")) - 1
        found.append((start, end))
        if end >= count:
            return found
        by_stride = int(np.searchsorted(bounds, bounds[start] + stride, side="right")) - 1
        # The span of the widest kind that just does not fit begins here.
        by_width = end - widest + 1
        start = max(start + 1, min(by_stride, by_width))
