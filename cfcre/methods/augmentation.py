"""Adversarial class augmentation (ACA): auxiliary classes that make shortcuts fail.

A model that tells the relations of one task apart by a single cue (the type of the head, one word)
has learned too little to keep them apart from the relations of later tasks. ACA adds classes that
share such cues, in phase one only:

* a *hybrid* class joins the head part of one relation's sentence with the tail part of another's;
* a *reversed* class swaps head and tail; a symmetric relation gets none.

Source: Wang et al., "Learning Robust Representations for Continual Relation Extraction via
Adversarial Class Augmentation", EMNLP 2022. Two departures from its public code: sentence pairs are
drawn at random instead of by position, and sentences whose tail stands before the head are used
instead of dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfcre.config import AugmentationSettings
from cfcre.data.schema import RelationExample, Span

__all__ = ["HYBRID", "REVERSED", "hybrid_classes", "reversed_classes"]

HYBRID = "hybrid:"
REVERSED = "reversed:"


def hybrid_classes(
    examples: Sequence[RelationExample], generator: np.random.Generator
) -> list[RelationExample]:
    """One hybrid class for each neighbouring pair on a random ring of the task's relations.

    With two relations there is one pair; with one there is none. A class has as many examples as
    the smaller of its two relations.
    """
    rows = _by_relation(examples)
    names = sorted(rows)
    if len(names) < 2:
        return []
    ring = [names[i] for i in generator.permutation(len(names))]
    pairs = list(zip(ring, ring[1:] + ring[:1], strict=True))[: None if len(ring) > 2 else 1]
    result = []
    for first, second in pairs:
        count = min(len(rows[first]), len(rows[second]))
        heads = generator.permutation(len(rows[first]))[:count]
        tails = generator.permutation(len(rows[second]))[:count]
        result += [
            _join(rows[first][h], rows[second][t], f"{HYBRID}{first}|{second}")
            for h, t in zip(heads, tails, strict=True)
        ]
    return result


def reversed_classes(
    examples: Sequence[RelationExample], settings: AugmentationSettings
) -> list[RelationExample]:
    """Every example with head and tail swapped, except of symmetric relations."""
    symmetric = set(settings.symmetric_relations)
    return [
        RelationExample(e.text, e.tail, e.head, REVERSED + e.relation)
        for e in examples
        if e.relation not in symmetric
    ]


def _join(a: RelationExample, b: RelationExample, relation: str) -> RelationExample:
    left, head = _head_part(a)
    right, tail = _tail_part(b)
    shift = len(left) + 1
    return RelationExample(
        f"{left} {right}", head, Span(tail.start + shift, tail.end + shift), relation
    )


def _head_part(e: RelationExample) -> tuple[str, Span]:
    """The side of the sentence that holds the head, cut at the tail."""
    if e.head_first:
        return e.text[: e.tail.start], e.head
    cut = e.tail.end
    return e.text[cut:], Span(e.head.start - cut, e.head.end - cut)


def _tail_part(e: RelationExample) -> tuple[str, Span]:
    """The side of the sentence from the tail on, away from the head."""
    if e.head_first:
        cut = e.tail.start
        return e.text[cut:], Span(0, e.tail.end - cut)
    return e.text[: e.head.start], e.tail


def _by_relation(examples: Sequence[RelationExample]) -> dict[str, list[RelationExample]]:
    rows: dict[str, list[RelationExample]] = {}
    for e in examples:
        rows.setdefault(e.relation, []).append(e)
    return rows
