"""Label noise: rates, matrices, seeds; only types change."""

from __future__ import annotations

import numpy as np
import pytest
from span_documents import corpus, types

from cfcre.errors import ConfigurationError
from cfcre.spans.documents import LabelTypes
from cfcre.spans.gold import gold_labels
from cfcre.spans.noise import corrupt_labels, transition_matrix

TYPES = types()
GOLD = gold_labels(corpus(1500, 3), TYPES)


@pytest.mark.parametrize("kind", ["symmetric", "pair-flip"])
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4, 1.0])
def test_matrices(kind, rate):
    matrix = transition_matrix(kind, rate, 4)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(np.diag(matrix), 1 - rate)
    if kind == "symmetric":
        np.testing.assert_allclose(matrix[0, 1:], rate / 3)
    else:
        assert [matrix[i, (i + 1) % 4] for i in range(4)] == pytest.approx([rate] * 4)


@pytest.mark.parametrize("kind", ["symmetric", "pair-flip"])
@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_labels_are_drawn_from_their_row(kind, rate):
    noisy, counts = corrupt_labels(GOLD, TYPES, kind, rate, 5)
    assert counts.entities == len(GOLD.entity_type) and counts.relations == len(GOLD.relation_type)
    assert counts.changed_entities == (noisy.entity_type != GOLD.entity_type).sum()
    matrix = transition_matrix(kind, rate, 3)
    for before, after in (
        (GOLD.entity_type - 1, noisy.entity_type - 1),
        (GOLD.relation_type, noisy.relation_type),
    ):
        table = np.zeros((3, 3))
        np.add.at(table, (before, after), 1)
        shares = table / table.sum(axis=1, keepdims=True)
        deviation = np.sqrt(0.25 / table.sum(axis=1).min())
        np.testing.assert_allclose(shares, matrix, atol=4 * deviation)


def test_only_types_change_and_the_gold_labels_stay():
    before = GOLD.entity_type.copy()
    noisy, _ = corrupt_labels(GOLD, TYPES, "symmetric", 0.4, 5)
    assert np.array_equal(before, GOLD.entity_type)
    for name in ("entity_document", "entity_start", "entity_end", "relation_offsets"):
        assert np.array_equal(getattr(noisy, name), getattr(GOLD, name))
    pairs = [np.sort(np.stack([g.head, g.tail]), axis=0) for g in (noisy, GOLD)]
    assert np.array_equal(*pairs)


def test_what_now_holds_both_ways_goes_from_the_first_entity():
    noisy, _ = corrupt_labels(GOLD, TYPES, "pair-flip", 1.0, 5)
    symmetric = noisy.relation_type == TYPES.relation_number["Know"]
    place = list(zip(noisy.entity_start.tolist(), noisy.entity_end.tolist(), strict=True))
    assert symmetric.sum() > 100
    for head, tail in zip(noisy.head[symmetric], noisy.tail[symmetric], strict=True):
        assert place[head] < place[tail]


def test_seeds():
    first, again, other = (
        corrupt_labels(GOLD, TYPES, "symmetric", 0.2, seed)[0].entity_type for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_no_noise_and_a_single_type_change_nothing():
    _, counts = corrupt_labels(GOLD, TYPES, "symmetric", 0.0, 1)
    assert counts.changed_entities == counts.changed_relations == 0
    one = LabelTypes(("Peop", "Loc", "Org"), ("Only",))
    documents = [
        type(d)(d.words, d.entities, tuple(r._replace(type="Only") for r in d.relations))
        for d in corpus(20, 1)
    ]
    _, counts = corrupt_labels(gold_labels(documents, one), one, "pair-flip", 0.4, 1)
    assert counts.changed_relations == 0 < counts.changed_entities


def test_what_is_not_accepted_is_said():
    with pytest.raises(ConfigurationError, match="symmetric, pair-flip"):
        transition_matrix("random", 0.2, 3)
    with pytest.raises(ConfigurationError, match=r"1\.2"):
        transition_matrix("symmetric", 1.2, 3)
