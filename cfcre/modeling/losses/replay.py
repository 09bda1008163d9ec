"""L_rp, eq. 7: replay of memory together with the new task's examples."""

from __future__ import annotations

from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_cross_entropy

__all__ = ["replay_loss"]


def replay_loss(
    representations: Tensor, relation_embeddings: Tensor, labels: Tensor, *, scale: float
) -> Tensor:
    """Cross entropy of A_k = M ∪ D_k against the embeddings of all relations so far (eq. 7).

    Differs from L_new in its data (old and new together) and in its classes: the auxiliary classes
    of phase one are gone, cut from the classifier before replay. Public EMAR-ACA code keeps them,
    re-initialised, in this softmax; here they are not.

    Args:
        representations: h, ``[B, d]``.
        relation_embeddings: e, ``[R, d]``; trained.
        labels: int64 ``[B]``.
        scale: ``method.similarity_scale``; 1 is the paper's text.

    Returns:
        A scalar, in nats.
    """
    return cosine_cross_entropy(representations, relation_embeddings, labels, scale=scale)
