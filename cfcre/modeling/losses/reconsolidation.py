"""L_rs, eq. 10 and 11: memory is pulled back to its prototypes."""

from __future__ import annotations

from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_cross_entropy

__all__ = ["reconsolidation_loss"]


def reconsolidation_loss(
    representations: Tensor, prototypes: Tensor, labels: Tensor, *, scale: float
) -> Tensor:
    """Cross entropy of memory examples against the prototypes (eq. 10, 11).

    Eq. 10 is the probability ``softmax_r(scale * cos(h_i, p_r))``, eq. 11 its mean negative
    logarithm. Public code uses a dot product where the papers say cosine; here it is the cosine.

    Args:
        representations: h of memory examples, ``[B, d]``.
        prototypes: p (eq. 3), ``[R, d]``; constants within a round.
        labels: int64 ``[B]``.
        scale: ``method.similarity_scale``; 1 is the paper's text.

    Returns:
        A scalar, in nats.
    """
    return cosine_cross_entropy(representations, prototypes, labels, scale=scale)
