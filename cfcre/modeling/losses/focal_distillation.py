"""CEAR's focal knowledge distillation: the old model's answer, where relations are analogous."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["focal_distillation_loss", "focal_weights"]


def focal_weights(
    logits: Tensor, similarities: Tensor, labels: Tensor, *, gamma: float, tau: float
) -> Tensor:
    """``w_ir = (1 - p_i)^γ softmax_r(s_ir / τ)``: how much of r's distillation example i gets.

    p_i is the probability that the current model gives the true relation, so an example that is
    already right counts little; s are its cosines with the prototypes of the old relations, so what
    counts is the relations that look like it.

    Args:
        logits: Of all R relations, ``[B, R]``.
        similarities: s, ``[B, R']`` in [-1, 1].
        labels: int64 ``[B]``.
        gamma: γ, at least 0.
        tau: τ, positive.

    Returns:
        Constants ``[B, R']``: no gradient flows through a weight.
    """
    with torch.no_grad():
        right = functional.softmax(logits, dim=1).gather(1, labels[:, None])
        return (1 - right) ** gamma * functional.softmax(similarities / tau, dim=1)


def focal_distillation_loss(
    logits: Tensor,
    before: Tensor,
    similarities: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    tau: float,
) -> Tensor:
    """Cross entropy with the previous model's distribution over the old relations, weighted.

    What it optimises: ``-1/B sum_i sum_{r < R'} w_ir q_ir log p_ir`` with q the previous model's
    softmax over the R' relations it knew, p the current model's over the same, and w of
    :func:`focal_weights`. It is used twice: on the classifier's logits, and on the cosines with the
    projected prototypes over the contrastive temperature.

    Source: Zhao, Cui and Hu, "Improving Continual Relation Extraction by Distinguishing Analogous
    Semantics", ACL 2023, focal knowledge distillation.

    Args:
        logits: Of all R relations in catalogue order, ``[B, R]``; the gradient flows through those
            of the first R'.
        before: The previous model's logits, ``[B, R']``, R' <= R; constants.
        similarities: Cosines with the prototypes of the old relations, ``[B, R']``.
        labels: int64 ``[B]`` in [0, R).
        gamma: γ of the focal weight.
        tau: Temperature τ of the similarity weight.

    Returns:
        A scalar, in nats.
    """
    weights = focal_weights(logits, similarities, labels, gamma=gamma, tau=tau)
    # The old relations come first in the catalogue. Their number is a size of `before`: public code
    # took the feature size less the new relations here, and so compared with prototypes of others.
    logs = functional.log_softmax(logits[:, : before.shape[1]], dim=1)
    return -(weights * functional.softmax(before, dim=1) * logs).sum(dim=1).mean()
