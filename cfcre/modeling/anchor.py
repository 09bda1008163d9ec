"""Features of a lower layer: what the entities, their surroundings and the sentence look like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["PARTS", "anchor_features"]

#: Vectors in the features: head, tail, sentence, and what stands between head and tail.
PARTS = 4


def anchor_features(
    states: Tensor,
    mask: Tensor,
    head: tuple[Tensor, Tensor],
    tail: tuple[Tensor, Tensor],
) -> Tensor:
    """Means of hidden states over four stretches of the sentence, each of unit length.

    Means over words, and not the markers that eq. 1 reads: what a marker's state means is learned
    in training, a word's state means something before.

    Args:
        states: A layer's output, ``[B, L, d]``.
        mask: ``[B, L]``, 1 on word pieces, 0 on padding.
        head: Positions of ``[E11]`` and ``[E12]``, int64 ``[B]`` each.
        tail: Positions of ``[E21]`` and ``[E22]``.

    Returns:
        float32 ``[B, 4 d]``; zeros for an empty stretch, as between two neighbours.
    """
    position = torch.arange(states.shape[1], device=states.device)[None]

    def inside(start: Tensor, end: Tensor) -> Tensor:
        return (position > start[:, None]) & (position < end[:, None])

    first = torch.minimum(head[1], tail[1])
    last = torch.maximum(head[0], tail[0])
    stretches = torch.stack(
        [inside(*head), inside(*tail), mask.bool(), inside(first, last)], dim=1
    ).float()
    sums = stretches @ states.float()
    return functional.normalize(sums, dim=-1).flatten(1)
