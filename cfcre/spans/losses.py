"""Losses of SPANSpanBERT: temperature softmax, PolyLoss for entities, BCE for relations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["entity_loss", "relation_loss", "span_log_probabilities"]


def span_log_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Temperature softmax, as logarithms: ``log softmax(logits / T)``.

    T > 1 flattens the distribution, T < 1 sharpens it, T = 1 is the plain softmax of SpERT. The
    most probable type does not depend on T; its probability, and the gradient, do.

    Args:
        logits: ``[S, K + 1]``; column 0 is "no entity".
        temperature: T > 0.
    """
    return functional.log_softmax(logits / temperature, dim=-1)


def entity_loss(
    logits: Tensor, labels: Tensor, *, temperature: float, epsilon: Sequence[float]
) -> Tensor:
    """PolyLoss over span types, summed over the spans.

    ``−log p + Σ_{j=1..N} ε_j (1 − p)^j`` with p the probability of the true type. The Taylor
    expansion of ``−log p`` in powers of (1 − p) has the coefficients 1/j; PolyLoss adds ε_j to the
    first N of them. No ε at all is the cross entropy.

    Reference: Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss
    Functions, ICLR 2022 (N = 1 is their Poly-1).

    Args:
        logits: ``[S, K + 1]``.
        labels: int64 ``[S]``.
        temperature: T of :func:`span_log_probabilities`.
        epsilon: ε_1 … ε_N.
    """
    log_probabilities = span_log_probabilities(logits, temperature)
    log_true = log_probabilities.gather(1, labels[:, None]).squeeze(1)
    loss = -log_true
    if epsilon:
        missing = 1 - log_true.exp()
        power = torch.ones_like(missing)
        for coefficient in epsilon:
            power = power * missing
            loss = loss + coefficient * power
    return loss.sum()


def relation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy with logits, summed over pairs, averaged over relation types.

    Each relation type is a question of its own, so a pair may hold several relations or none.

    Args:
        logits: ``[P, R]``.
        targets: 0 or 1, ``[P, R]``.
    """
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return each.mean(dim=1).sum()
