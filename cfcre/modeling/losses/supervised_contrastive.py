"""Supervised contrastive learning against a bank of features: CRL's loss in both of its phases."""

from __future__ import annotations

from torch import Tensor

from cfcre.modeling.losses.cosine import cosine_similarity

__all__ = ["supervised_contrastive_loss"]


def supervised_contrastive_loss(
    projected: Tensor, labels: Tensor, bank: Tensor, bank_labels: Tensor, *, tau: float
) -> Tensor:
    """Pull an example to the bank's rows of its relation, push it from all others.

    What it optimises: ``-1/B sum_i 1/|P(i)| sum_{p in P(i)} log( exp(cos(z_i, b_p) / τ) / sum_j
    exp(cos(z_i, b_j) / τ) )``, where P(i) are the rows of the bank with the label of i and j runs
    over the whole bank. Without a classifier no relation has weights that a later task could
    unlearn; what is learned is the geometry that nearest-mean prediction reads.

    The bank is a constant, so a term looks at one example alone and a batch can be divided among
    processes. The row of the example itself, as it was when it was last seen, is in the bank and in
    P(i), as in the paper: P(i) is never empty.

    Source: Zhao et al., "Consistent Representation Learning for Continual Relation Extraction",
    Findings of ACL 2022, the loss of initial training and of contrastive replay.

    Args:
        projected: z, ``[B, m]``; the gradient flows through it.
        labels: int64 ``[B]``.
        bank: b, ``[N, m]``, constants; holds a row of every label in ``labels``.
        bank_labels: int64 ``[N]``.
        tau: Temperature τ, positive.

    Returns:
        A scalar, in nats.
    """
    logits = cosine_similarity(projected, bank) / tau
    same = (labels[:, None] == bank_labels[None, :]).to(logits.dtype)
    # The mean over P(i) of -log softmax, with the normaliser taken out of the mean.
    pulled = (logits * same).sum(dim=1) / same.sum(dim=1)
    return (logits.logsumexp(dim=1) - pulled).mean()
