"""Small things that several tests of spans need."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def spread_out(network, seed: int = 0) -> None:
    """Weights of a size at which every part of the representation matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (network.width, network.entity, network.relation):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * 0.3)
        network.entity.bias.copy_(torch.randn(network.entity.bias.shape, generator=generator))
