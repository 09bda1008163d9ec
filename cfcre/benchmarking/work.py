"""How much arithmetic a learner's encoder does: counted from the shapes of its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["WorkCounter", "forward_flops"]


def forward_flops(config: Any, rows: int, length: int) -> int:
    """Floating-point operations of one forward pass of a BERT-like encoder.

    Multiplications and additions of the matrix products, with d the hidden size, f the size of the
    feed-forward layer, B the rows and L the padded length::

        layers · ( 2·B·L·4·d²  +  2·B·L·2·d·f  +  2·2·B·L²·d )
                   Q, K, V, out   feed-forward    QKᵀ and AV

    Padding counts: the machine multiplies it. Embeddings, normalisation, softmax, dropout and the
    heads are left out. A training step counts three forward passes.
    """
    d, f = int(config.hidden_size), int(config.intermediate_size)
    tokens = rows * length
    layer = 2 * tokens * 4 * d * d + 2 * tokens * 2 * d * f + 4 * tokens * length * d
    return int(config.num_hidden_layers) * layer


@dataclass
class _Counts:
    training: int = 0
    inference: int = 0
    steps: int = 0


class WorkCounter:
    """Counts the operations of a transformer while it is attached to it.

    Args:
        transformer: A Hugging Face encoder.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._config = transformer.config
        self._counts = _Counts()
        self._handle = transformer.register_forward_pre_hook(self._see, with_kwargs=True)

    def take(self) -> dict[str, int]:
        """Counts since the last call: operations in training and in inference, training steps."""
        counts, self._counts = self._counts, _Counts()
        return {
            "training_flops": counts.training,
            "inference_flops": counts.inference,
            "steps": counts.steps,
        }

    def close(self) -> None:
        """Take the counter off the transformer."""
        self._handle.remove()

    def _see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        flops = forward_flops(self._config, ids.shape[0], ids.shape[1])
        if torch.is_grad_enabled():
            self._counts.training += 3 * flops
            self._counts.steps += 1
        else:
            self._counts.inference += flops
