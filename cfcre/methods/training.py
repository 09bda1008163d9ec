"""The training loop that every method shares; what differs is the loss of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cfcre.config import MethodSettings
from cfcre.data.batching import pad_batch, training_batches
from cfcre.data.tokenisation import EncodedExamples
from cfcre.errors import CfcreError
from cfcre.modeling.compute import Compute
from cfcre.modeling.dropout import part_of_batch
from cfcre.modeling.encoder import RelationEncoder
from cfcre.modeling.parallel import ALONE, Group

__all__ = ["Losses", "Progress", "TrainingLog", "make_optimizer", "no_progress", "train_epoch"]

#: Named parts of a step's loss; ``loss`` is the sum that is minimised.
Losses = dict[str, Tensor]


class Progress(Protocol):
    """Told how far a stage is, in steps."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``phase``."""


def no_progress(phase: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class TrainingLog:
    """Per-step losses of one stage, in order, as plain numbers."""

    losses: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0


def make_optimizer(
    encoder: RelationEncoder, heads: Iterable[nn.Parameter], settings: MethodSettings
) -> torch.optim.AdamW:
    """AdamW with the encoder at its own learning rate; created anew in each phase."""
    return torch.optim.AdamW(
        [
            {"params": list(encoder.parameters()), "lr": settings.learning_rate},
            {"params": list(heads), "lr": settings.head_learning_rate},
        ],
        weight_decay=settings.weight_decay,
        fused=True,
    )


def train_epoch(
    *,
    phase: str,
    encoder: RelationEncoder,
    optimizer: torch.optim.Optimizer,
    encoded: EncodedExamples,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Losses],
    settings: MethodSettings,
    compute: Compute,
    generator: np.random.Generator,
    log: TrainingLog,
    progress: Progress,
    heads: Sequence[nn.Parameter] = (),
    group: Group = ALONE,
) -> None:
    """One pass over all examples.

    Several processes divide every batch among them; gradients, losses and so the trained weights
    are those of one process up to the order of sums.

    Args:
        phase: Name in the log: ``train_task``, ``replay`` or ``reconsolidation``.
        encoder: Trained in place.
        optimizer: Over encoder and heads.
        encoded: The examples.
        labels: int64 ``[N]``.
        loss: Representations ``[B, d]`` and labels ``[B]`` to named losses.
        settings: Batch size and gradient clip.
        compute: Device and precision.
        generator: Order of the examples.
        log: Receives one entry a step.
        progress: Told after each step.
        heads: Parameters outside the encoder that ``loss`` uses.
        group: The processes that train together.

    Raises:
        CfcreError: A loss is not finite, in whichever process; the state is left unsaved.
    """
    encoder.train()
    model = group.wrap(_Step(encoder, heads, loss, compute), compute.device)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    batches = training_batches(encoded.lengths, settings.batch_size, generator)
    names: list[str] = []
    values: list[Tensor] = []
    for done, index in enumerate(batches, start=1):
        share = group.share(len(index))
        alone = share.count == share.whole
        batch = pad_batch(encoded, index, None if alone else share.rows)
        with nullcontext() if alone else part_of_batch(share.rows, share.whole):
            parts = model(
                torch.from_numpy(batch.ids).to(compute.device, non_blocking=True),
                torch.from_numpy(batch.mask).to(compute.device, non_blocking=True),
                torch.from_numpy(batch.head).to(compute.device, non_blocking=True),
                torch.from_numpy(batch.tail).to(compute.device, non_blocking=True),
                labels[torch.from_numpy(batch.index)].to(compute.device),
            )
        optimizer.zero_grad(set_to_none=True)
        minimised = parts["loss"] if group.size == 1 else parts["loss"] * share.loss_weight
        minimised.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.gradient_clip)
        optimizer.step()
        names = list(parts)
        value = torch.stack([v.detach() for v in parts.values()])
        values.append(value if group.size == 1 else value * share.log_weight)
        progress(phase, done, len(batches))
    # One copy from the device for the whole epoch; a copy a step would make a GPU wait.
    # The sum over the processes is not finite in any of them if it is not in one.
    table = group.sum(torch.stack(values).cpu().double()).numpy()
    if not np.isfinite(table).all():
        raise CfcreError(
            f"{phase}: the loss is not finite; lower method.learning_rate or use "
            "compute.precision=float32"
        )
    for row in table:
        log.losses.append(
            {"phase": phase, "step": log.steps, **dict(zip(names, row.tolist(), strict=True))}
        )
        log.steps += 1


class _Step(nn.Module):
    """Encoder, heads and loss of a step as one module, which is what can be made parallel.

    Args:
        encoder: Eq. 1.
        heads: Parameters outside the encoder that ``loss`` uses.
        loss: Representations and labels to named losses.
        compute: Precision of the encoder.
    """

    def __init__(
        self,
        encoder: RelationEncoder,
        heads: Sequence[nn.Parameter],
        loss: Callable[[Tensor, Tensor], Losses],
        compute: Compute,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ParameterList(heads)
        self._loss = loss
        self._compute = compute

    def forward(self, ids: Tensor, mask: Tensor, head: Tensor, tail: Tensor, y: Tensor) -> Losses:
        """Losses of one padded batch; see :meth:`RelationEncoder.forward` for the shapes."""
        with self._compute.mixed():
            h = self.encoder(ids, mask, head, tail)
        return self._loss(h, y)
