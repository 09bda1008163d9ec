"""Negative samples: spans without an entity, and pairs of entities without a relation.

Every candidate draws a random key, and those with the smallest keys are taken: a draw without
replacement that needs one sort for a whole batch. Keys are drawn document by document, spans by
width and first word, pairs by head and tail, so a loop that draws them one at a time takes the same
samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cfcre.spans.enumeration import SpanGrid, segment_of

__all__ = ["NegativeRule", "sample_pairs", "sample_spans", "smallest_keys"]

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NegativeRule:
    """How many negatives a document gets: ``max(floor, ratio × positives)``.

    SPANSpanBERT takes 30 times the positives; the floor keeps documents without any from teaching
    nothing. SpERT's 100 for every document are a ratio of 0 and a floor of 100.
    """

    ratio: int
    floor: int

    def count(self, positives: Index) -> Index:
        """Negatives wanted for so many positives, elementwise."""
        return np.asarray(np.maximum(self.floor, self.ratio * positives))


def smallest_keys(
    keys: npt.NDArray[np.float64], segments: Index, candidates: Flags, wanted: Index
) -> Index:
    """Positions of the smallest keys among the candidates of each segment.

    Args:
        keys: ``[M]``.
        segments: int64 ``[M]``, ascending.
        candidates: bool ``[M]``.
        wanted: int64 ``[D]``, most positions of each segment; fewer where there are not so many.

    Returns:
        Ascending.
    """
    positions = np.flatnonzero(candidates)
    own = segments[positions]
    order = positions[np.lexsort((keys[positions], own))]
    counts = np.bincount(own, minlength=len(wanted))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < wanted[segments[order]]])


def sample_spans(
    grid: SpanGrid, positives: Index, rule: NegativeRule, generator: np.random.Generator
) -> Index:
    """Places of spans that hold no entity.

    Args:
        grid: Spans of the batch.
        positives: Places that hold one.
        rule: How many.
        generator: Draws a key for every span of the grid.
    """
    places = grid.places
    document = grid.word_document[places % max(grid.words, 1)]
    documents = len(grid.word_offsets) - 1
    wanted = rule.count(np.bincount(grid.spans(positives)[0], minlength=documents))
    candidates = np.isin(places, positives, invert=True)
    return places[smallest_keys(generator.random(len(places)), document, candidates, wanted)]


def sample_pairs(
    entity_offsets: Index,
    head: Index,
    tail: Index,
    symmetric: Flags,
    rule: NegativeRule,
    generator: np.random.Generator,
) -> tuple[Index, Index]:
    """Ordered pairs of a document's gold entities between which no relation holds.

    The reverse of a pair with a relation that holds both ways is no negative either.

    Args:
        entity_offsets: int64 ``[B + 1]``, entities of each document.
        head: int64 ``[R]``, heads of the relations, as numbers of entities.
        tail: int64 ``[R]``.
        symmetric: bool ``[R]``, whether the relation holds both ways.
        rule: How many; the positives are the distinct related pairs.
        generator: Draws a key for every ordered pair of two entities.

    Returns:
        Heads and tails.
    """
    counts = np.diff(entity_offsets)
    document = segment_of(entity_offsets)
    total = len(document)
    # Every entity with every entity of its document, in order of head and then tail.
    repeats = counts[document]
    first = np.repeat(np.arange(total, dtype=np.int64), repeats)
    run = np.arange(len(first)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    second = entity_offsets[document[first]] + run
    two = first != second
    first, second = first[two], second[two]
    related = head * total + tail
    known = np.union1d(related, (tail * total + head)[symmetric])
    candidates = np.isin(first * total + second, known, invert=True)
    positives = np.bincount(document[np.unique(related) // max(total, 1)], minlength=len(counts))
    chosen = smallest_keys(
        generator.random(len(first)), document[first], candidates, rule.count(positives)
    )
    return first[chosen], second[chosen]
