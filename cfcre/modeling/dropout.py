"""Dropout whose mask costs a byte a value.

torch draws one Bernoulli variable at a time on a CPU; with the six dropouts a layer of a small
encoder that is a quarter of a training step. Here eight values share one 64-bit draw of the same
generator, so the keep probability is a multiple of 1/256.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ByteDropout", "replace_dropout"]


class ByteDropout(nn.Module):
    """Dropout with probability ``round(256 p) / 256``, drawn from torch's own generator.

    Args:
        p: Probability of a zero, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability {p} is not in [0, 1)")
        self.dropped = round(256 * p)

    @property
    def p(self) -> float:
        """The probability in fact used."""
        return self.dropped / 256

    def forward(self, values: Tensor) -> Tensor:
        """Zero some values and scale the others by ``1 / (1 - p)``, in training only."""
        if not self.training or self.dropped == 0:
            return values
        if values.device.type != "cpu":
            return nn.functional.dropout(values, self.p, training=True)
        count = values.numel()
        # from=-2**63, to=None: all 64 bits are random; the default leaves the sign bit zero.
        draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.uint8)[:count].view(values.shape) >= self.dropped
        return values * keep.to(values.dtype).mul_(1 / (1 - self.p))


def replace_dropout(module: nn.Module) -> None:
    """Put :class:`ByteDropout` in the place of every ``nn.Dropout`` below ``module``."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, ByteDropout(child.p))
        else:
            replace_dropout(child)
