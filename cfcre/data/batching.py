"""Batches of similar length, and padding done with array operations only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cfcre.data.tokenisation import EncodedExamples

__all__ = ["PaddedBatch", "inference_batches", "pad_batch", "training_batches"]

Index = npt.NDArray[np.int64]

#: Batches drawn together, sorted by length and cut: padding falls, the draw stays random.
_BUCKET_BATCHES = 8


@dataclass(frozen=True)
class PaddedBatch:
    """One padded batch.

    Attributes:
        ids: int64 ``[B, L]``.
        mask: bool ``[B, L]``, False on padding.
        head: int64 ``[B]``, position of ``[E11]``.
        tail: int64 ``[B]``, position of ``[E21]``.
        index: int64 ``[B]``, rows of the encoded examples.
    """

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    head: Index
    tail: Index
    index: Index


def pad_batch(encoded: EncodedExamples, index: Index, rows: slice | None = None) -> PaddedBatch:
    """Gather the rows ``index`` into one padded batch, without a loop over rows.

    Args:
        encoded: The examples.
        index: The batch.
        rows: Only these of the batch's rows, padded as in the whole batch; None for all.
    """
    longest = int(encoded.lengths[index].max())
    if rows is not None:
        index = index[rows]
    lengths = encoded.lengths[index]
    columns = np.arange(longest)
    mask = columns[None, :] < lengths[:, None]
    positions = encoded.offsets[index][:, None] + columns[None, :]
    ids = np.where(mask, encoded.ids[np.where(mask, positions, 0)], encoded.pad_id)
    return PaddedBatch(ids, mask, encoded.head[index], encoded.tail[index], index)


def inference_batches(lengths: Index, token_budget: int) -> list[Index]:
    """Rows sorted by length and cut so that rows times longest stays within the budget.

    A single row longer than the budget is a batch by itself.
    """
    order = np.argsort(lengths, kind="stable")
    batches: list[Index] = []
    start = 0
    for stop in range(1, len(order) + 1):
        # Sorted ascending: the newest row is the longest.
        if stop - start > 1 and (stop - start) * int(lengths[order[stop - 1]]) > token_budget:
            batches.append(order[start : stop - 1])
            start = stop - 1
    if start < len(order):
        batches.append(order[start:])
    return batches


def training_batches(
    lengths: Index, batch_size: int, generator: np.random.Generator
) -> Sequence[Index]:
    """A random order of all rows in batches of ``batch_size`` rows of similar length.

    Rows are shuffled, taken in groups of several batches, sorted by length inside a group, and the
    batches are shuffled again. Every row is in exactly one batch; only one batch may be smaller.
    """
    order = generator.permutation(len(lengths))
    group = batch_size * _BUCKET_BATCHES
    batches: list[Index] = []
    for start in range(0, len(order), group):
        rows = order[start : start + group]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
