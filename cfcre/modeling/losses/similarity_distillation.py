"""CRL's memory knowledge distillation: how similar relations are to each other is kept."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cfcre.modeling.losses.cosine import cosine_similarity

__all__ = ["similarity_distillation_loss"]


def similarity_distillation_loss(
    projected: Tensor, labels: Tensor, prototypes: Tensor, before: Tensor, *, tau: float
) -> Tensor:
    """KL divergence between similarities to prototypes before the task and now.

    What it optimises: ``1/B sum_{i: y_i < R'} KL(P_{y_i} || Q_i)`` with ``P_r = softmax_j(a_rj /
    τ)``, a the cosines of the previous model's prototypes with each other, and ``Q_i =
    softmax_j(cos(z_i, c_j) / τ)``, c today's prototypes of the same R' relations. An example of a
    relation known before stays as near to the other old relations as its relation was.

    Source: Zhao et al., Findings of ACL 2022, knowledge distillation for relieving forgetting. The
    sum is divided by B, not by the number of old examples in the batch: a term then weighs the same
    in whichever batch, or part of one, it stands.

    Args:
        projected: z, ``[B, m]``; the gradient flows through it.
        labels: int64 ``[B]``; relations from R' on are new and add nothing.
        prototypes: c, ``[R', m]``, constants of the step.
        before: a, ``[R', R']`` in [-1, 1], constants.
        tau: Temperature τ, positive.

    Returns:
        A scalar, in nats; 0 where no example is of an old relation.
    """
    old = labels < len(before)
    # Rows of new relations are looked up as relation 0 and masked: no shape depends on the batch.
    target = functional.softmax(before / tau, dim=1)[torch.where(old, labels, 0)]
    logs = functional.log_softmax(cosine_similarity(projected, prototypes) / tau, dim=1)
    divergence = functional.kl_div(logs, target, reduction="none").sum(dim=1)
    return (divergence * old.to(divergence.dtype)).mean()
