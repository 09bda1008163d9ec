"""L_new, eq. 2: learn the new task's relations and ACA's auxiliary classes."""

from __future__ import annotations

from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_cross_entropy

__all__ = ["new_relation_loss"]


def new_relation_loss(
    representations: Tensor, relation_embeddings: Tensor, labels: Tensor, *, scale: float
) -> Tensor:
    """Cross entropy of new examples against all relation embeddings (eq. 2).

    What it optimises: ``-1/B sum_i log softmax_r(scale * cos(h_i, e_r))[y_i]`` for examples of
    D_k and its augmentation, where r runs over the relations seen so far and, in phase one only,
    the auxiliary classes.

    Args:
        representations: h, ``[B, d]``.
        relation_embeddings: e, ``[R + auxiliary, d]``; trained.
        labels: int64 ``[B]``.
        scale: ``method.similarity_scale``; 1 is the paper's text.

    Returns:
        A scalar, in nats.
    """
    return cosine_cross_entropy(representations, relation_embeddings, labels, scale=scale)
