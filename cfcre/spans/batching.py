"""Batches as tensors: padded word pieces, packed words, and the samples that a step learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfcre.data.batching import inference_batches
from cfcre.spans.enumeration import SpanGrid, segment_of
from cfcre.spans.gold import GoldLabels
from cfcre.spans.sampling import NegativeRule, sample_pairs, sample_spans
from cfcre.spans.word_pieces import EncodedDocuments

__all__ = ["Samples", "SpanBatch", "draw_samples", "make_batch", "split_by_budget"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SpanBatch:
    """Documents ready for the network.

    Attributes:
        ids: int64 ``[B, L]``, padded.
        mask: int64 ``[B, L]``, 0 on padding.
        word_start: int64 ``[N]``, first piece of each word in the flattened ``[B · L]``.
        word_end: int64 ``[N]``, exclusive.
        word_document: int64 ``[N]``, row of each word.
        grid: The spans.
        longest_word: Most pieces of a word.
    """

    ids: Tensor
    mask: Tensor
    word_start: Tensor
    word_end: Tensor
    word_document: Tensor
    grid: SpanGrid
    longest_word: int


@dataclass(frozen=True)
class Samples:
    """What one batch learns from. All numbers are those of the batch's own grid and entities.

    Attributes:
        spans: int64 ``[S]``, places in the grid: entities first, then negatives.
        span_labels: int64 ``[S]``, 0 for negatives.
        entities: int64 ``[E]``, places of the gold entities.
        entity_document: int64 ``[E]``.
        entity_start: int64 ``[E]``, first word among the words of the batch.
        entity_end: int64 ``[E]``, exclusive.
        head: int64 ``[P]``, number of an entity: related pairs first, then negatives.
        tail: int64 ``[P]``.
        targets: float32 ``[P, R]``, the relations that hold.
    """

    spans: Index
    span_labels: Index
    entities: Index
    entity_document: Index
    entity_start: Index
    entity_end: Index
    head: Index
    tail: Index
    targets: npt.NDArray[np.float32]


def make_batch(
    encoded: EncodedDocuments, rows: Index, max_width: int, device: torch.device
) -> SpanBatch:
    """Gather documents into one batch, without a loop over them."""
    part = encoded.take(rows)
    lengths = part.lengths
    columns = np.arange(int(lengths.max(initial=1)))
    mask = columns[None, :] < lengths[:, None]
    ids = np.full(mask.shape, part.pad_id, dtype=np.int64)
    ids[mask] = part.ids
    document = segment_of(part.word_offsets)
    # Within a document a word's pieces begin where those of the word before end.
    ends = part.word_ends
    starts = np.concatenate([[0], ends])[: len(ends)]
    starts[part.word_offsets[:-1][part.word_counts > 0]] = 1
    base = document * mask.shape[1]

    def move(values: Index) -> Tensor:
        return torch.from_numpy(values).to(device, non_blocking=True)

    return SpanBatch(
        move(ids),
        move(mask.astype(np.int64)),
        move(starts + base),
        move(ends + base),
        move(document),
        SpanGrid(part.word_offsets, max_width),
        int((ends - starts).max(initial=1)),
    )


def draw_samples(
    gold: GoldLabels,
    rows: Index,
    grid: SpanGrid,
    relation_types: int,
    symmetric: npt.NDArray[np.bool_],
    span_rule: NegativeRule,
    pair_rule: NegativeRule,
    generator: np.random.Generator,
) -> Samples:
    """Positives of the documents ``rows``, and negatives drawn for this step.

    Args:
        gold: Labels; every entity is a span of the grid.
        rows: Documents of the batch, in its order.
        grid: Its spans.
        relation_types: R.
        symmetric: bool ``[R]``, relation types that hold both ways.
        span_rule: How many spans without an entity.
        pair_rule: How many pairs without a relation.
        generator: Source of the draw.
    """
    entity, entity_offsets = _ranges(gold.entity_offsets, rows)
    document = segment_of(entity_offsets)
    start, end = gold.entity_start[entity], gold.entity_end[entity]
    places = grid.place(document, start, end)
    negatives = sample_spans(grid, places, span_rule, generator)
    relation, relation_offsets = _ranges(gold.relation_offsets, rows)
    # Entities are numbered over all documents there, and over the batch here.
    shift = (entity_offsets[:-1] - gold.entity_offsets[rows])[segment_of(relation_offsets)]
    head, tail = gold.head[relation] + shift, gold.tail[relation] + shift
    kind = gold.relation_type[relation]
    other_head, other_tail = sample_pairs(
        entity_offsets, head, tail, symmetric[kind], pair_rule, generator
    )
    pairs, which = np.unique(head * max(len(entity), 1) + tail, return_inverse=True)
    targets = np.zeros((len(pairs) + len(other_head), relation_types), dtype=np.float32)
    targets[which, kind] = 1
    pair_head, pair_tail = np.divmod(pairs, max(len(entity), 1))
    first = grid.word_offsets[document]
    return Samples(
        np.concatenate([places, negatives]),
        np.concatenate([gold.entity_type[entity], np.zeros_like(negatives)]),
        places,
        document,
        first + start,
        first + end,
        np.concatenate([pair_head, other_head]),
        np.concatenate([pair_tail, other_tail]),
        targets,
    )


def split_by_budget(lengths: Index, rows: Index, token_budget: int) -> Iterator[Index]:
    """Parts of one update that are run one after another.

    Args:
        lengths: Word pieces of every document.
        rows: Documents of the update.
        token_budget: Word pieces, padding included, of one part; a longer document is a part by
            itself.
    """
    for part in inference_batches(lengths[rows], token_budget):
        yield rows[part]


def _ranges(offsets: Index, rows: Index) -> tuple[Index, Index]:
    """Elements of the segments ``rows`` of a packed array, and where each segment begins."""
    counts = offsets[rows + 1] - offsets[rows]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], counts), ends
