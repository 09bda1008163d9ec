"""Eq. 3: a relation's prototype is the mean of its memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["class_means", "prediction_prototypes"]


def class_means(representations: Tensor, labels: Tensor, count: int) -> Tensor:
    """Mean representation of each relation's examples (eq. 3).

    Representations are brought to unit length first: every similarity in the method is a cosine,
    and an example with a long vector should not count for more.

    Args:
        representations: h, ``[N, d]``.
        labels: int64 ``[N]`` in [0, count).
        count: R.

    Returns:
        ``[R, d]``; zeros for a relation without examples.
    """
    unit = functional.normalize(representations, dim=-1)
    sums = torch.zeros(count, unit.shape[1], dtype=unit.dtype).index_add_(0, labels, unit)
    sizes = torch.bincount(labels, minlength=count).clamp(min=1)
    return sums / sizes[:, None]


def prediction_prototypes(means: Tensor, relation_embeddings: Tensor, weight: float) -> Tensor:
    """Prototypes used at prediction: the memory's mean joined with the relation embedding.

    ``normalize((1 - w) * normalize(mean) + w * normalize(e))``. With w = 0 this is eq. 3 alone; the
    public EMAR-ACA code averages the ten memory vectors and the embedding, w = 1 / 11.

    Args:
        means: :func:`class_means` of the memory, ``[R, d]``.
        relation_embeddings: e, ``[R, d]``.
        weight: w in [0, 1].

    Returns:
        Unit rows, ``[R, d]``.
    """
    blend = (1 - weight) * functional.normalize(means, dim=-1) + weight * functional.normalize(
        relation_embeddings, dim=-1
    )
    return functional.normalize(blend, dim=-1)
