"""L_fl, eq. 8 and 9: cross entropy restricted to the prototypes that are easily confused."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cfcre.modeling.losses.cosine import cosine_similarity

__all__ = ["focal_loss", "similar_prototype_set"]


def similar_prototype_set(similarities: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Eq. 8: the prototypes an example competes with.

    The true prototype, its hardest negative, and every negative whose similarity is greater than
    the true one's minus α.

    Args:
        similarities: cos(h_i, p_r), ``[B, R]``, without scale.
        labels: int64 ``[B]``.
        alpha: Margin α, in units of cosine.

    Returns:
        bool ``[B, R]``. With a single relation only the true prototype is in the set.
    """
    rows = torch.arange(len(labels), device=labels.device)
    true = similarities[rows, labels]
    members = similarities > (true - alpha)[:, None]
    if similarities.shape[1] > 1:
        negatives = similarities.detach().clone()
        negatives[rows, labels] = -torch.inf
        members[rows, negatives.argmax(dim=1)] = True
    members[rows, labels] = True
    return members


def focal_loss(
    representations: Tensor, prototypes: Tensor, labels: Tensor, *, alpha: float, scale: float
) -> Tensor:
    """Cross entropy over each example's similar-prototype set (eq. 9).

    Prototypes far from an example no longer share its gradient, so the loss works on the relations
    that are confused in fact. The set is a constant of the step: no gradient flows through it.

    Args:
        representations: h of memory examples, ``[B, d]``.
        prototypes: p, ``[R, d]``; constants within a round.
        labels: int64 ``[B]``.
        alpha: Margin α of eq. 8.
        scale: ``method.similarity_scale``; 1 is the paper's text.

    Returns:
        A scalar, in nats.
    """
    similarities = cosine_similarity(representations, prototypes)
    members = similar_prototype_set(similarities.detach(), labels, alpha)
    logits = (scale * similarities).masked_fill(~members, -torch.inf)
    return functional.cross_entropy(logits, labels)
