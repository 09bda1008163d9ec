"""ACA's auxiliary classes: right parts, right spans, no reversal of symmetric relations."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cfcre.config import AugmentationSettings
from cfcre.data.schema import RelationExample, Span
from cfcre.methods.augmentation import hybrid_classes, reversed_classes


def row(text, head, tail, relation):
    h, t = text.index(head), text.index(tail)
    return RelationExample(text, Span(h, h + len(head)), Span(t, t + len(tail)), relation)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (
            row("x HA y TA z", "HA", "TA", "a"),
            row("p HB q TB r", "HB", "TB", "b"),
            "x HA y  TB r",
        ),
        (
            row("x TA y HA z", "HA", "TA", "a"),
            row("p TB q HB r", "HB", "TB", "b"),
            " y HA z p TB q ",
        ),
    ],
)
def test_hybrid_joins_head_part_and_tail_part(a, b, expected):
    hybrids = hybrid_classes([a, b], np.random.default_rng(0))
    assert len(hybrids) == 1
    hybrid = hybrids[0]
    if hybrid.relation == "hybrid:a|b":
        assert hybrid.text == expected
        assert (hybrid.head_text, hybrid.tail_text) == ("HA", "TB")
    else:
        assert (hybrid.head_text, hybrid.tail_text) == ("HB", "TA")
    assert hybrid.head.end <= hybrid.tail.start


def test_hybrid_ring_has_one_class_a_relation_and_uses_the_smaller_count(relation_rows):
    rows = relation_rows(["founded", "owns", "wrote"], 6) + relation_rows(["born in"], 4)
    counts = Counter(e.relation for e in hybrid_classes(rows, np.random.default_rng(1)))
    assert len(counts) == 4 and set(counts.values()) == {6, 4}
    firsts = Counter(name.removeprefix("hybrid:").split("|")[0] for name in counts)
    assert set(firsts) == {"founded", "owns", "wrote", "born in"}


def test_hybrid_spans_hold_entities_whatever_the_order(relation_rows):
    rows = relation_rows(["founded", "owns", "wrote"], 8)
    mixed = [
        RelationExample(e.text, e.tail, e.head, e.relation) if i % 2 else e
        for i, e in enumerate(rows)
    ]
    entities = {e.head_text for e in mixed} | {e.tail_text for e in mixed}
    for e in hybrid_classes(mixed, np.random.default_rng(0)):
        assert e.head_text in entities and e.tail_text in entities


def test_one_relation_has_no_hybrid(relation_rows):
    assert hybrid_classes(relation_rows(["owns"], 3), np.random.default_rng(0)) == []


def test_reversed_swaps_spans_and_leaves_symmetric_relations_out():
    settings = AugmentationSettings(symmetric_relations=("spouse",))
    rows = [row("A owns B", "A", "B", "owns"), row("A wed B", "A", "B", "spouse")]
    (only,) = reversed_classes(rows, settings)
    assert (only.head_text, only.tail_text, only.relation) == ("B", "A", "reversed:owns")
