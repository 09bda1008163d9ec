"""Episodic memory: K-means over a relation's representations, the sample nearest each centre."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["select_exemplars"]


def select_exemplars(
    representations: npt.NDArray[np.float32], size: int, seed: int
) -> npt.NDArray[np.int64]:
    """Choose at most ``size`` examples of one relation that cover how it is expressed.

    Args:
        representations: Examples of one relation, ``[N, d]``; compared as unit vectors.
        size: Examples to keep.
        seed: Of K-means' initial centres.

    Returns:
        Distinct rows in ascending order, ``[min(size, N)]``. Centres claim their nearest row in
        order of distance; a row already taken gives its centre the next nearest, so that no
        example is stored twice and memory is never smaller than it could be.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = len(representations)
    if count <= size:
        return np.arange(count, dtype=np.int64)
    norms = np.linalg.norm(representations, axis=1, keepdims=True)
    unit = representations / np.maximum(norms, 1e-12)
    # One thread: the data is tiny, and the sum's order, so the result, does not depend on cores.
    with threadpool_limits(limits=1):
        means = KMeans(n_clusters=size, n_init=1, random_state=seed).fit(unit)
        distances = means.transform(unit)
    chosen: list[int] = []
    taken = np.zeros(count, dtype=bool)
    for centre in np.argsort(distances.min(axis=0), kind="stable"):
        row = int(np.where(taken, np.inf, distances[:, centre]).argmin())
        taken[row] = True
        chosen.append(row)
    return np.asarray(sorted(chosen), dtype=np.int64)
