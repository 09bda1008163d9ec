"""Second-order statistics of features that never change, and the classifier they give.

Where features come from layers that are not trained any more, a relation's mean and the scatter of
all examples about their own means can be added up task by task: nothing seen earlier is needed
again, and the classifier is the one that all data at once would give. Nothing is forgotten.

The classifier is linear discriminant analysis with equal priors: the relation whose mean is nearest
in the metric of the inverse covariance, which is shrunk towards a multiple of the identity because
it has more entries than there are examples.

Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 4.3; shrinkage as
in Friedman, "Regularized Discriminant Analysis", 1989, eq. 18.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SecondOrder"]


@dataclass
class SecondOrder:
    """Statistics of the features of all examples seen.

    Attributes:
        means: Of each relation, float32 ``[R, f]``; zeros where there is no example.
        counts: Examples of each relation, float32 ``[R]``.
        scatter: Sum over all examples of the outer product of their distance from their relation's
            mean, float32 ``[f, f]``.
    """

    means: Tensor
    counts: Tensor
    scatter: Tensor

    @classmethod
    def empty(cls, size: int) -> SecondOrder:
        """No relation and no example; ``size`` is f."""
        return cls(torch.zeros(0, size), torch.zeros(0), torch.zeros(size, size))

    def add(self, features: Tensor, labels: Tensor, relations: int) -> SecondOrder:
        """These statistics and more examples.

        Means of the parts are joined as by Chan, Golub and LeVeque (1979), so that the order of
        tasks changes nothing but rounding.

        Args:
            features: float32 ``[N, f]``.
            labels: int64 ``[N]`` in [0, relations).
            relations: R afterwards; not fewer than now.
        """
        size = self.means.shape[1]
        old, x = self._grown(relations), features.double()
        counts = torch.bincount(labels, minlength=relations).double()
        sums = torch.zeros(relations, size, dtype=torch.float64).index_add_(0, labels, x)
        means = sums / counts.clamp(min=1)[:, None]
        centred = x - means[labels]
        total = old.counts.double() + counts
        shift = means - old.means.double()
        between = (old.counts.double() * counts / total.clamp(min=1)).sqrt()[:, None] * shift
        joined = old.means.double() + shift * (counts / total.clamp(min=1))[:, None]
        scatter = old.scatter.double() + centred.T @ centred + between.T @ between
        return SecondOrder(joined.float(), total.float(), scatter.float())

    def classifier(self, shrinkage: float) -> tuple[Tensor, Tensor]:
        """Weights ``[R, f]`` and biases ``[R]`` of linear discriminant analysis.

        ``W = Σ⁻¹ μ``, ``b = -½ μᵀ Σ⁻¹ μ`` with ``Σ = (1 - s) S + s tr(S) / f I`` and S the pooled
        covariance.

        Args:
            shrinkage: s in (0, 1].
        """
        freedom = max(float(self.counts.sum()) - len(self.counts), 1.0)
        covariance = self.scatter.double() / freedom
        # A single example a relation leaves no scatter at all; the metric is then the plain one.
        spread = float(covariance.diagonal().mean()) or 1.0
        covariance = (1 - shrinkage) * covariance
        covariance.diagonal().add_(shrinkage * spread)
        means = self.means.double()
        weight = torch.cholesky_solve(means.T, torch.linalg.cholesky(covariance)).T
        bias = -0.5 * (weight * means).sum(dim=1)
        return weight.float(), bias.float()

    def _grown(self, relations: int) -> SecondOrder:
        more = relations - len(self.counts)
        return SecondOrder(
            torch.cat([self.means, self.means.new_zeros(more, self.means.shape[1])]),
            torch.cat([self.counts, self.counts.new_zeros(more)]),
            self.scatter,
        )
