"""L_cl, eq. 5 and 6: InfoNCE between examples and prototypes in the projected space."""

from __future__ import annotations

from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_cross_entropy

__all__ = ["contrastive_loss"]


def contrastive_loss(
    projected: Tensor, projected_prototypes: Tensor, labels: Tensor, *, tau: float
) -> Tensor:
    """InfoNCE with the true relation's prototype as positive and all others as negatives.

    What it optimises: ``-1/B sum_i log( exp(cos(z_i, c_y) / τ) / sum_r exp(cos(z_i, c_r) / τ) )``
    (eq. 5), with z and c the outputs of the two-layer MLP (eq. 4) for examples and prototypes and
    the cosine as similarity (eq. 6). It keeps relations apart that the classifier alone would let
    drift together while new ones are learned.

    Args:
        projected: z, ``[B, m]``.
        projected_prototypes: c, ``[R, m]``; the MLP's gradient flows through both.
        labels: int64 ``[B]``.
        tau: Temperature τ, positive; smaller looks at harder negatives.

    Returns:
        A scalar, in nats.
    """
    return cosine_cross_entropy(projected, projected_prototypes, labels, scale=1.0 / tau)
