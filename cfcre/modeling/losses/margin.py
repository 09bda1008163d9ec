"""CEAR's margin loss: the true prototype is nearer than the nearest other one, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_similarity

__all__ = ["margin_loss"]


def margin_loss(projected: Tensor, prototypes: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Hinge between the true prototype and the hardest negative.

    What it optimises: ``1/B sum_i max(0, m - cos(z_i, c_y) + max_{r != y} cos(z_i, c_r))``. Unlike
    InfoNCE it stops as soon as the margin holds, and looks at the one relation that is confused.

    Source: Zhao, Cui and Hu, ACL 2023, the margin loss of integrated training.

    Args:
        projected: z, ``[B, k]``.
        prototypes: c, ``[R, k]``.
        labels: int64 ``[B]``.
        margin: m, in units of cosine.

    Returns:
        A scalar; 0 with a single relation, which has no negative.
    """
    similarities = cosine_similarity(projected, prototypes)
    true = similarities.gather(1, labels[:, None])
    others = similarities.scatter(1, labels[:, None], -torch.inf)
    return (margin - true[:, 0] + others.max(dim=1).values).clamp(min=0).mean()
