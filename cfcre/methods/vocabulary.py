"""Train only the embedding rows that a phase can touch.

A word-embedding table has 30,000 rows and more; one phase of a task uses a few thousand. The
gradient of all other rows is zero in every step, so Adam leaves them where they are, yet the dense
gradient, its norm and the optimiser's update walk the whole table each step. Inside the block the
table holds just the rows in use, and word-piece ids are mapped onto them; afterwards the rows are
written back. The result is the same but for weight decay, which no longer shrinks unused rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from cfcre.data.tokenisation import EncodedExamples
from cfcre.modeling.encoder import RelationEncoder

__all__ = ["compact_vocabulary"]


@contextmanager
def compact_vocabulary(
    encoder: RelationEncoder, encoded: EncodedExamples
) -> Iterator[EncodedExamples]:
    """Swap the embedding table for the rows that ``encoded`` uses; yields the mapped examples."""
    table = encoder.get_word_embeddings()
    used, mapped = np.unique(np.append(encoded.ids, encoded.pad_id), return_inverse=True)
    rows = torch.from_numpy(used).to(table.weight.device)
    # No padding_idx: padded positions are masked out of attention and never read as markers.
    compact = nn.Embedding(len(used), table.embedding_dim, device=table.weight.device)
    with torch.no_grad():
        compact.weight.copy_(table.weight[rows])
    encoder.set_word_embeddings(compact)
    try:
        yield replace(encoded, ids=mapped[:-1].astype(np.int64), pad_id=int(mapped[-1]))
    finally:
        with torch.no_grad():
            table.weight[rows] = compact.weight
        encoder.set_word_embeddings(table)
