"""Eq. 4: the two-layer MLP in front of the contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Projection"]


class Projection(nn.Module):
    """``z = W2 relu(W1 h + b1) + b2`` (eq. 4), for examples and prototypes alike.

    Args:
        size: d of the representations.
        hidden: Hidden size (``method.projection_hidden``).
        output: m of the projections (``method.projection_size``).
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, hidden: int, output: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Linear(size, hidden)
        self.second = nn.Linear(hidden, output)
        for layer in (self.first, self.second):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, representations: Tensor) -> Tensor:
        """``[B, d]`` to ``[B, m]``."""
        hidden: Tensor = functional.relu(self.first(representations))
        projected: Tensor = self.second(hidden)
        return projected
