"""Dropout whose mask costs a byte a value, and is the same however a batch is divided.

torch draws one Bernoulli variable at a time on a CPU; with the six dropouts a layer of a small
encoder that is a quarter of a training step. Here eight values share one 64-bit draw of the same
generator, so the keep probability is a multiple of 1/256.

Several processes that train on parts of one batch draw the mask of the whole batch each, from
generators with the same state, and use the rows that are theirs: the masks are those of one
process. On a CPU the draw is a small part of what the mask is applied to; :func:`part_of_batch`
says which rows of how many the values are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

__all__ = ["ByteDropout", "part_of_batch", "replace_dropout"]

_PART: ContextVar[tuple[slice, int] | None] = ContextVar("cfcre_part_of_batch", default=None)


@contextmanager
def part_of_batch(rows: slice, whole: int) -> Iterator[None]:
    """Inside the block, values given to a dropout are some rows of a larger batch.

    Args:
        rows: Which rows.
        whole: Rows of the larger batch.
    """
    token = _PART.set((rows, whole))
    try:
        yield
    finally:
        _PART.reset(token)


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
        """Zero some values and scale the others by ``1 / (1 - p)``, in training only.

        Args:
            values: ``[B, ...]``; inside :func:`part_of_batch`, B is the number of its rows.
        """
        if not self.training or self.dropped == 0:
            return values
        part = _PART.get()
        if values.device.type != "cpu":
            if part is None:
                return nn.functional.dropout(values, self.p, training=True)
            rows, whole = part
            # The kernel's draws depend on the shape alone, so ones give the whole batch's mask.
            ones = values.new_ones((whole, *values.shape[1:]))
            return values * nn.functional.dropout(ones, self.p, training=True)[rows]
        shape = values.shape if part is None else torch.Size((part[1], *values.shape[1:]))
        count = shape.numel()
        # from=-2**63, to=None: all 64 bits are random; the default leaves the sign bit zero.
        draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None)
        random = draws.view(torch.uint8)[:count].view(shape)
        keep = (random if part is None else random[part[0]]) >= self.dropped
        return values * keep.to(values.dtype).mul_(1 / (1 - self.p))


def replace_dropout(module: nn.Module) -> None:
    """Put :class:`ByteDropout` in the place of every ``nn.Dropout`` below ``module``."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, ByteDropout(child.p))
        else:
            replace_dropout(child)
