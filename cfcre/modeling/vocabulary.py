"""Train only the embedding rows that are in use.

A word-embedding table has 30,000 rows and more; what one training reads are a few thousand. The
gradient of all other rows is zero in every step, so Adam leaves them where they are, yet the dense
gradient, its norm and the optimiser's update walk the whole table each step. Inside the block the
table holds just the rows in use, and word-piece ids are mapped onto them; afterwards the rows are
written back. The result is the same but for weight decay, which no longer shrinks unused rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["HoldsWordEmbeddings", "RowsInUse", "rows_in_use"]


class HoldsWordEmbeddings(Protocol):
    """A model whose embedding table can be taken out and put back."""

    def get_word_embeddings(self) -> nn.Embedding:
        """The table."""

    def set_word_embeddings(self, table: nn.Embedding) -> None:
        """Replace the table."""


@dataclass(frozen=True)
class RowsInUse:
    """A compact table in the place of the whole one.

    Attributes:
        ids: The word-piece ids mapped onto the compact table, in their own shape.
        pad_id: The padding's id, mapped.
        model: Holds the compact table.
        whole: The table that was taken out.
        compact: The table that is in its place.
        rows: Rows of the whole table, in the order of the compact one.
    """

    ids: npt.NDArray[np.int64]
    pad_id: int
    model: HoldsWordEmbeddings
    whole: nn.Embedding
    compact: nn.Embedding
    rows: torch.Tensor

    def put_back(self) -> None:
        """Write the compact rows into the whole table and give it to the model."""
        with torch.no_grad():
            self.whole.weight[self.rows] = self.compact.weight
        self.model.set_word_embeddings(self.whole)

    @contextmanager
    def whole_table(self) -> Iterator[None]:
        """The whole table, up to date, inside the block: to read what is not being trained on."""
        self.put_back()
        try:
            yield
        finally:
            self.model.set_word_embeddings(self.compact)


@contextmanager
def rows_in_use(
    model: HoldsWordEmbeddings, ids: npt.NDArray[np.int64], pad_id: int
) -> Iterator[RowsInUse]:
    """Swap the embedding table for the rows that are used; write them back at the end.

    Args:
        model: Its table is compact inside the block.
        ids: Word-piece ids of everything that the model reads inside the block, any shape.
        pad_id: Id of padding.
    """
    table = model.get_word_embeddings()
    used, mapped = np.unique(np.append(ids, pad_id), return_inverse=True)
    rows = torch.from_numpy(used).to(table.weight.device)
    # No padding_idx: padded positions are masked out of attention and never read.
    compact = nn.Embedding(len(used), table.embedding_dim, device=table.weight.device)
    with torch.no_grad():
        compact.weight.copy_(table.weight[rows])
    compact.requires_grad_(table.weight.requires_grad)
    model.set_word_embeddings(compact)
    swapped = RowsInUse(
        mapped[:-1].reshape(ids.shape).astype(np.int64),
        int(mapped[-1]),
        model,
        table,
        compact,
        rows,
    )
    try:
        yield swapped
    finally:
        swapped.put_back()
