"""Entities and relations of many documents, as packed arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfcre.data.batching import inference_batches
from cfcre.modeling.compute import Compute
from cfcre.spans.batching import SpanBatch, make_batch
from cfcre.spans.losses import span_log_probabilities
from cfcre.spans.network import SpanFeatures, SpanNetwork
from cfcre.spans.word_pieces import EncodedDocuments

__all__ = ["PredictedLabels", "Thresholds", "predict_labels"]

Index = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

#: Pairs scored at once: bounds the memory of a document in which everything is an entity.
_PAIRS = 8192


@dataclass(frozen=True)
class Thresholds:
    """Least probabilities.

    Attributes:
        entity: float32 ``[K + 1]``, by type number; the first is not used.
        relation: float32 ``[R]``.
    """

    entity: Scores
    relation: Scores


@dataclass(frozen=True)
class PredictedLabels:
    """Predictions for D documents, in their order; entities by first word and end.

    Attributes:
        entity_document: int64 ``[E]``, ascending.
        entity_start: int64 ``[E]``, first word within the document.
        entity_end: int64 ``[E]``, exclusive.
        entity_type: int64 ``[E]`` in 1 … K.
        entity_score: float32 ``[E]``, probability of that type.
        head: int64 ``[R]``, number of an entity in the arrays above, ascending.
        tail: int64 ``[R]``.
        relation_type: int64 ``[R]``, counted from 0.
        relation_score: float32 ``[R]``, probability of that relation.
    """

    entity_document: Index
    entity_start: Index
    entity_end: Index
    entity_type: Index
    entity_score: Scores
    head: Index
    tail: Index
    relation_type: Index
    relation_score: Scores


def predict_labels(
    network: SpanNetwork,
    encoded: EncodedDocuments,
    *,
    thresholds: Thresholds,
    temperature: float,
    symmetric: npt.NDArray[np.bool_],
    compute: Compute,
    token_budget: int,
    mixed: bool = False,
) -> PredictedLabels:
    """Predict entities, and relations between all ordered pairs of them.

    A span is an entity if its most probable type is one and reaches its threshold; predicted
    entities may overlap, as SpERT's may. A relation that holds both ways is given once, from the
    entity that stands first, with the better score of its two directions.

    Args:
        network: Left in the mode it was in.
        encoded: Documents, also without words.
        thresholds: Least probabilities.
        temperature: T of the entity softmax.
        symmetric: bool ``[R]``.
        compute: Device and precision.
        token_budget: Word pieces in a batch, padding included.
        mixed: Use the training precision; by default float32, so that what is evaluated is the
            same number on every machine up to rounding.
    """
    parts: list[PredictedLabels] = []
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            for rows in inference_batches(encoded.lengths, token_budget):
                batch = make_batch(encoded, rows, network.max_width, compute.device)
                if batch.grid.words == 0:
                    continue
                with compute.mixed() if mixed else nullcontext():
                    features = network.encode(batch)
                parts.append(_batch(network, features, batch, rows, thresholds, temperature))
    finally:
        network.train(training)
    return _join(parts, symmetric)


def _batch(
    network: SpanNetwork,
    features: SpanFeatures,
    batch: SpanBatch,
    rows: Index,
    thresholds: Thresholds,
    temperature: float,
) -> PredictedLabels:
    grid = batch.grid
    probabilities = span_log_probabilities(network.entity_logits(features), temperature).exp()
    best = probabilities.max(dim=1)
    kind, score = best.indices.cpu().numpy(), best.values.cpu().numpy()
    found = grid.inside.ravel() & (kind > 0) & (score >= thresholds.entity[kind])
    places = np.flatnonzero(found)
    document, start, end = grid.spans(places)
    order = np.lexsort((end, start, document))
    places, document, start, end = places[order], document[order], start[order], end[order]
    pieces = list(_relations(network, features, batch, places, document, start, end, thresholds))
    head, tail, relation, relation_score = (
        np.concatenate([piece[i] for piece in pieces]) if pieces else np.zeros(0, dtype)
        for i, dtype in enumerate((np.int64, np.int64, np.int64, np.float32))
    )
    return PredictedLabels(
        rows[document],
        start,
        end,
        kind[places],
        score[places],
        head,
        tail,
        relation,
        relation_score,
    )


def _relations(
    network: SpanNetwork,
    features: SpanFeatures,
    batch: SpanBatch,
    places: Index,
    document: Index,
    start: Index,
    end: Index,
    thresholds: Thresholds,
) -> Iterator[tuple[Index, Index, Index, Scores]]:
    """Head, tail, type and score of the relations, a chunk of pairs at a time."""
    first_word = batch.grid.word_offsets[document]

    def move(values: Index) -> Tensor:
        return torch.from_numpy(values).to(features.words.device)

    at, begin, stop = move(places), move(first_word + start), move(first_word + end)
    for head, tail in _pairs(document, len(batch.grid.word_offsets) - 1):
        logits = network.relation_logits(features, at, begin, stop, move(head), move(tail))
        score = logits.sigmoid().cpu().numpy()
        pair, kind = np.nonzero(score >= thresholds.relation)
        yield head[pair], tail[pair], kind, score[pair, kind]


def _pairs(document: Index, documents: int) -> Iterator[tuple[Index, Index]]:
    """All ordered pairs of two entities of one document, a bounded number at a time."""
    counts = np.bincount(document, minlength=documents)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    partners = counts[document]
    # An entity's partners are never divided between chunks.
    chunk = (np.cumsum(partners) - 1) // _PAIRS if len(document) else partners
    for heads in np.split(np.arange(len(document)), np.flatnonzero(np.diff(chunk)) + 1):
        sizes = partners[heads]
        head = np.repeat(heads, sizes)
        ends = np.cumsum(sizes)
        run = np.arange(len(head)) - np.repeat(ends - sizes, sizes)
        tail = offsets[document[head]] + run
        two = head != tail
        if two.any():
            yield head[two], tail[two]


def _join(parts: list[PredictedLabels], symmetric: npt.NDArray[np.bool_]) -> PredictedLabels:
    """Bring batches of similar length back into the order of the documents."""
    if not parts:
        none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        return PredictedLabels(none, none, none, none, nothing, none, none, none, nothing)
    sizes = np.array([len(part.entity_document) for part in parts])
    shifts = np.cumsum(sizes) - sizes
    document = np.concatenate([part.entity_document for part in parts])
    # Within a document the entities are in order already.
    order = np.argsort(document, kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    head = number[np.concatenate([p.head + s for p, s in zip(parts, shifts, strict=True)])]
    tail = number[np.concatenate([p.tail + s for p, s in zip(parts, shifts, strict=True)])]
    kind = np.concatenate([part.relation_type for part in parts])
    score = np.concatenate([part.relation_score for part in parts])
    swapped = symmetric[kind] & (tail < head)
    head, tail = np.where(swapped, tail, head), np.where(swapped, head, tail)
    # Best score first among equals, then one of each.
    best = np.lexsort((-score, kind, tail, head))
    head, tail, kind, score = head[best], tail[best], kind[best], score[best]
    new = np.ones(len(head), dtype=bool)
    new[1:] = (np.diff(head) != 0) | (np.diff(tail) != 0) | (np.diff(kind) != 0)
    return PredictedLabels(
        document[order],
        np.concatenate([part.entity_start for part in parts])[order],
        np.concatenate([part.entity_end for part in parts])[order],
        np.concatenate([part.entity_type for part in parts])[order],
        np.concatenate([part.entity_score for part in parts])[order],
        head[new],
        tail[new],
        kind[new],
        score[new],
    )
