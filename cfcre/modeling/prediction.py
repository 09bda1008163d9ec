"""Eq. 12 and 13: the relation whose prototype is nearest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["probabilities", "rank_relations"]

Array = npt.NDArray[np.float32]


def rank_relations(similarities: Array, top_k: int) -> npt.NDArray[np.int64]:
    """Relations by falling similarity (eq. 13 is the first column).

    Ties go to the relation learned first, so that a prediction never depends on the batch.

    Args:
        similarities: Eq. 12, ``cos(h_i, p_r)``, ``[N, R]``.
        top_k: Relations wanted; at most R are returned.

    Returns:
        int64 ``[N, min(top_k, R)]``.
    """
    if top_k == 1:
        return np.asarray(similarities.argmax(axis=1)[:, None])
    return np.asarray(np.argsort(-similarities, axis=1, kind="stable")[:, :top_k])


def probabilities(similarities: Array, scale: float) -> Array:
    """``softmax(scale * cos)`` over the relations, ``[N, R]``; rows sum to one."""
    logits = scale * (similarities - similarities.max(axis=1, keepdims=True))
    exponentials = np.exp(logits)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)
