"""The training loop: AdamW with warm-up, one update a batch of documents."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cfcre.config import Settings, SpanSettings
from cfcre.data.batching import training_batches
from cfcre.errors import CfcreError, DataError
from cfcre.modeling.compute import Compute, seeded
from cfcre.modeling.vocabulary import rows_in_use
from cfcre.spans.batching import Samples, SpanBatch, draw_samples, make_batch, split_by_budget
from cfcre.spans.documents import LabelTypes
from cfcre.spans.gathering import gather_rows
from cfcre.spans.gold import GoldLabels
from cfcre.spans.losses import entity_loss, relation_loss
from cfcre.spans.network import SpanNetwork
from cfcre.spans.sampling import NegativeRule
from cfcre.spans.word_pieces import EncodedDocuments

__all__ = [
    "Epoch",
    "Progress",
    "TrainingFacts",
    "Updater",
    "batch_losses",
    "make_optimizer",
    "train_network",
]

Index = npt.NDArray[np.int64]

# Part of the seed of each source of randomness.
_ORDER, _NEGATIVES, _DROPOUT = range(3)


class Progress(Protocol):
    """Told how far training is, in updates."""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` updates of ``phase``."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the documents.

    Attributes:
        number: Counted from 1.
        entity_loss: Mean over the updates.
        relation_loss: The same; 0 where no document had two entities.
        seconds: Wall time of the updates.
        scores: What ``after_epoch`` made of the network, if anything.
    """

    number: int
    entity_loss: float
    relation_loss: float
    seconds: float
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingFacts:
    """What a training did."""

    documents: int
    updates: int = 0
    wide_entities: int = 0
    wide_relations: int = 0
    epochs: list[Epoch] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, without wall times: equal runs give equal facts."""
        data = asdict(self)
        for epoch in data["epochs"]:
            del epoch["seconds"]
        return data


def make_optimizer(network: SpanNetwork, settings: SpanSettings) -> torch.optim.AdamW:
    """AdamW; biases and layer normalisation do not decay, as in SpERT's code."""
    normed = {
        id(p) for m in network.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()
    }
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_free = name.endswith("bias") or id(parameter) in normed
        (free if is_free else decayed).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def batch_losses(
    network: SpanNetwork, batch: SpanBatch, samples: Samples, settings: SpanSettings
) -> tuple[Tensor, Tensor]:
    """Entity and relation loss of one batch, each summed over its samples.

    The encoder runs in whatever precision the caller has set.
    """
    features = network.encode(batch)
    device = features.words.device
    with torch.autocast(device.type, enabled=False):
        logits = network.entity_logits(features)
        epsilon = settings.poly_epsilon if settings.entity_loss == "poly" else ()
        entities = entity_loss(
            gather_rows(logits, _move(samples.spans, device)),
            _move(samples.span_labels, device),
            temperature=settings.temperature,
            epsilon=epsilon,
        )
        if not len(samples.head):
            return entities, torch.zeros((), device=device)
        pairs = network.relation_logits(
            features,
            *(
                _move(values, device)
                for values in (
                    samples.entities,
                    samples.entity_start,
                    samples.entity_end,
                    samples.head,
                    samples.tail,
                )
            ),
        )
        return entities, relation_loss(pairs, torch.from_numpy(samples.targets).to(device))


def train_network(
    network: SpanNetwork,
    encoded: EncodedDocuments,
    gold: GoldLabels,
    types: LabelTypes,
    settings: Settings,
    *,
    progress: Progress | None = None,
    after_epoch: Callable[[SpanNetwork], dict[str, Any]] | None = None,
    report: Callable[[Epoch], None] | None = None,
) -> TrainingFacts:
    """Train a network in place; it is left in evaluation mode.

    Args:
        network: Pretrained encoder, fresh heads.
        encoded: Training documents.
        gold: Their labels, without entities wider than the widest span.
        types: Of the labels.
        settings: ``spans``, ``compute`` and ``seed`` are used.
        progress: Told after each update.
        after_epoch: Looks at the network after an epoch, for example to score it on other
            documents; its result is kept. It must leave the network as it was.
        report: Told about each epoch when it is over.

    Raises:
        DataError: There is no document.
        CfcreError: A loss is not finite.
    """
    if not len(encoded):
        raise DataError("there is no document to train on")
    spans = settings.spans
    compute = Compute.from_settings(settings.compute)
    network.to(compute.device)
    facts = TrainingFacts(len(encoded), 0, gold.wide_entities, gold.wide_relations)
    # The word pieces of training are all that the embedding table needs to hold meanwhile. Seeded
    # as a whole, so that nothing in it moves the global generator.
    with seeded(settings.seed), rows_in_use(network, encoded.ids, encoded.pad_id) as used:
        compact = replace(encoded, ids=used.ids, pad_id=used.pad_id)
        update = Updater(network, compact, gold, types, settings, compute)
        for number in range(1, spans.epochs + 1):
            started = time.perf_counter()
            with seeded(settings.seed, _DROPOUT, number):
                losses = update.epoch(number, progress)
            # One copy from the device for the whole epoch.
            mean = torch.stack(losses).double().mean(dim=0).cpu().tolist()
            if not all(map(math.isfinite, mean)):
                raise CfcreError(
                    f"epoch {number}: the loss is not finite; lower spans.learning_rate or use "
                    "compute.precision=float32"
                )
            seconds = time.perf_counter() - started
            scores = {}
            if after_epoch is not None:
                with used.whole_table():
                    scores = after_epoch(network)
            facts.updates += len(losses)
            facts.epochs.append(Epoch(number, mean[0], mean[1], seconds, scores))
            if report is not None:
                report(facts.epochs[-1])
    network.eval()
    return facts


class Updater:
    """Updates of one training: batches, samples, optimiser and its schedule.

    Args:
        network: Trained in place.
        encoded: Training documents, their ids those of the network's embedding table.
        gold: Their labels.
        types: Of the labels.
        settings: ``spans`` and ``seed`` are used.
        compute: Device and precision.
    """

    def __init__(
        self,
        network: SpanNetwork,
        encoded: EncodedDocuments,
        gold: GoldLabels,
        types: LabelTypes,
        settings: Settings,
        compute: Compute,
    ) -> None:
        self._network = network
        self._encoded = encoded
        self._gold = gold
        self._seed = settings.seed
        self._settings = spans = settings.spans
        self._compute = compute
        self._relations = len(types.relations)
        self._symmetric = np.array([name in types.symmetric for name in types.relations])
        self._span_rule = NegativeRule(spans.entity_negative_ratio, spans.entity_negative_floor)
        self._pair_rule = NegativeRule(spans.relation_negative_ratio, spans.relation_negative_floor)
        self._optimizer = make_optimizer(network, spans)
        self._total = -(-len(encoded) // spans.batch_size) * spans.epochs
        self._done = 0

    def epoch(self, number: int, progress: Progress | None) -> list[Tensor]:
        """One pass; returns each update's two losses."""
        settings = self._settings
        self._network.train()
        batches = training_batches(
            self._encoded.lengths,
            settings.batch_size,
            np.random.default_rng([self._seed, _ORDER, number]),
        )
        generator = np.random.default_rng([self._seed, _NEGATIVES, number])
        losses = []
        for done, rows in enumerate(batches, start=1):
            losses.append(self(rows, generator))
            if progress is not None:
                progress(f"epoch {number}/{settings.epochs}", done, len(batches))
        return losses

    def __call__(self, rows: Index, generator: np.random.Generator) -> Tensor:
        """One update from the documents ``rows``; returns its two losses."""
        settings = self._settings
        parts = []
        for part in split_by_budget(self._encoded.lengths, rows, settings.batch_token_budget):
            batch = make_batch(self._encoded, part, settings.max_span_width, self._compute.device)
            samples = draw_samples(
                self._gold,
                part,
                batch.grid,
                self._relations,
                self._symmetric,
                self._span_rule,
                self._pair_rule,
                generator,
            )
            parts.append((batch, samples))
        # Losses are means over the whole update, however many parts it is run in.
        spans = max(sum(len(s.spans) for _, s in parts), 1)
        pairs = max(sum(len(s.head) for _, s in parts), 1)
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(2, device=self._compute.device)
        for batch, samples in parts:
            with self._compute.mixed():
                entities, relations = batch_losses(self._network, batch, samples, settings)
            loss = torch.stack([entities / spans, relations / pairs])
            loss.sum().backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        nn.utils.clip_grad_norm_(self._network.parameters(), settings.gradient_clip)
        rate = settings.learning_rate * self._factor()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._done += 1
        return total

    def _factor(self) -> float:
        """Rises from 0 to 1 over the warm-up, then falls to 0, as SpERT's schedule does."""
        warmup = int(self._settings.warmup * self._total)
        if self._done < warmup:
            return self._done / warmup
        return (self._total - self._done) / max(self._total - warmup, 1)


def _move(values: Index, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)
