"""CRL's feature bank: the last seen features of all examples of a phase, without momentum."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cfcre.modeling.parallel import Group

__all__ = ["FeatureBank"]


class FeatureBank:
    """Unit features of N examples; a step reads all of them and then replaces those of its batch.

    Features are constants: each is the output of the encoder when its example was last in a batch.
    Several processes see other rows of a batch each and exchange them, so that every process reads
    the same bank in the next step as one process would.

    Args:
        features: ``[N, m]`` at the start; on the device of the training.
        labels: int64 ``[N]``.
        group: The processes that train together.
    """

    def __init__(self, features: Tensor, labels: Tensor, group: Group) -> None:
        self.features = functional.normalize(features.detach(), dim=-1)
        self.labels = labels.to(features.device)
        self._group = group

    def replace(self, rows: Tensor, features: Tensor) -> None:
        """Put today's features in the place of those rows.

        Args:
            rows: int64 ``[B]``; in a group, this process's part of the batch.
            features: ``[B, m]``; no gradient is kept.
        """
        unit = functional.normalize(features.detach(), dim=-1)
        # A new tensor: the backward pass of this step still reads the old one.
        if self._group.size == 1:
            self.features = self.features.index_copy(0, rows, unit)
            return
        count, size = self.features.shape
        seen = torch.zeros(count, size + 1)
        seen[rows.cpu()] = torch.cat([unit, unit.new_ones(len(unit), 1)], dim=1).cpu()
        # A process without rows of its own repeats the first of the batch, so a row may come twice.
        seen = self._group.sum(seen).to(self.features.device)
        times = seen[:, -1:]
        self.features = torch.where(times > 0, seen[:, :-1] / times.clamp(min=1), self.features)

    def prototypes(self, count: int) -> Tensor:
        """Unit mean of the features of each of the first ``count`` relations, ``[count, m]``.

        Zeros for a relation without rows.
        """
        relations = torch.arange(count, device=self.labels.device)
        # A product, not a scattered sum: on a GPU its order, so the result, is always the same.
        members = (relations[:, None] == self.labels[None, :]).to(self.features.dtype)
        return functional.normalize(members @ self.features, dim=-1)
