"""Pairs, decisions and thresholds of the relation model beside brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.extraction.joining import decide, pair_rows, pair_scores, pairs_of
from cfcre.extraction.thresholds import best_threshold, threshold_of_share
from cfcre.spans.documents import Document, Entity, Relation
from cfcre.spans.triples import Triples, count_triples

NAMES = ["a", "b", "c"]
KINDS = ["Peop", "Loc"]


@settings(max_examples=150, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 18), st.integers(1, 3)), max_size=7),
    st.integers(0, 6),
)
def test_every_near_pair_in_one_window_is_looked_at(found, reach):
    spans = sorted((start, start + width) for start, width in found)
    windows = [(0, 9), (5, 14), (10, 22)]
    pairs = pairs_of(spans, windows, reach)
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(spans)), 2)
        if spans[i][1] <= spans[j][0] <= spans[i][1] + reach
        and any(a <= spans[i][0] and spans[j][1] <= b for a, b in windows)
    }
    assert {(p.first, p.second) for p in pairs} == expected
    assert len(pairs) == len(expected)
    for p in pairs:
        start, stop = spans[p.first][0], spans[p.second][1]
        holding = [(a, b) for a, b in windows if a <= start and stop <= b]
        room = max(min(start - a, b - stop) for a, b in holding)
        assert any(
            (p.start, p.end) == (max(a, start - reach), min(b, stop + reach))
            and min(start - a, b - stop) == room
            for a, b in holding
        )


def test_rows_show_the_words_around():
    document = Document.from_text("one two [E11] four \ud83d five six")
    spans = [(1, 2), (5, 6)]
    assert [document.words[a:b] for a, b in spans] == [("two",), ("four",)]
    (pair,) = pairs_of(spans, [(0, len(document.words))], reach=4)
    (row,) = pair_rows(document.text, document.offsets, spans, [pair])
    assert (row.head_text, row.tail_text) == ("two", "four")
    assert row.text == "one two [E11] four \ufffd five six", "half a pair can not be read"


scores_3d = st.integers(1, 5).flatmap(
    lambda pairs: st.lists(st.integers(-8, 8), min_size=6 * pairs, max_size=6 * pairs).map(
        lambda values: np.array(values, dtype=np.float32).reshape(2, pairs, 3) / 8
    )
)


def decide_slowly(cosines, types, *, triples, penalty, scores, constraints, symmetric):
    """Pair by pair, in plain Python."""
    ranking = cosines if scores is None else scores
    found = set()
    for pair, (first, second) in enumerate(types):
        best = []
        for direction, (head, tail) in enumerate(((first, second), (second, first))):
            options = []
            for seen in (True, False):
                ranked = [
                    (-float(ranking[direction, pair, column]), column)
                    for column, name in enumerate(NAMES)
                    if triples.seen(head, name, tail) == seen
                    and (constraints is None or constraints.seen(head, name, tail))
                ]
                if ranked:
                    column = min(ranked)[1]
                    worth = float(cosines[direction, pair, column]) - (0 if seen else penalty)
                    options.append((-worth, column))
            best.append(min(options) if options else None)
        forward, backward = best
        if forward and backward and forward[1] == backward[1]:
            (backward, forward) = (backward, None) if backward < forward else (None, forward)
        for reverse, one in ((False, forward), (True, backward)):
            if one is not None:
                name = NAMES[one[1]]
                found.add((pair, reverse and name not in symmetric, one[1], -one[0]))
    return found


@settings(max_examples=200, deadline=None)
@given(
    scores_3d,
    st.data(),
    st.sets(st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES), st.sampled_from(KINDS))),
    st.sets(st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES), st.sampled_from(KINDS))),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sets(st.sampled_from(NAMES)),
    st.booleans(),
)
def test_decisions_equal_those_made_one_by_one(
    cosines, data, seen, allowed, penalty, symmetric, ruled
):
    count = cosines.size
    values = data.draw(st.lists(st.integers(-99, 99), min_size=count, max_size=count))
    kinds = st.sampled_from(KINDS)
    types = [data.draw(st.tuples(kinds, kinds)) for _ in range(cosines.shape[1])]
    options = {
        "triples": Triples(Triples.only(seen).counts, frozenset(symmetric)),
        "penalty": penalty,
        # Another rule's scores are of any size.
        "scores": np.array(values, np.float32).reshape(cosines.shape) if ruled else None,
        "constraints": Triples.only(allowed) if allowed else None,
        "symmetric": frozenset(symmetric),
    }
    made = decide(cosines, types, NAMES, **options)
    assert set(made.rows()) == decide_slowly(cosines, types, **options)


@settings(max_examples=100, deadline=None)
@given(scores_3d, st.data(), st.sampled_from([0.0, 0.25, 1.0]))
def test_without_another_rule_the_best_cosine_less_penalty_wins(cosines, data, penalty):
    kinds = st.sampled_from(KINDS)
    types = [data.draw(st.tuples(kinds, kinds)) for _ in range(cosines.shape[1])]
    triples = Triples.only({("Peop", NAMES[0], "Loc"), ("Loc", NAMES[1], "Peop")})
    made = decide(cosines, types, NAMES, triples=triples, penalty=penalty)
    for pair, reverse, column, score in made.rows():
        direction = int(reverse)
        head, tail = types[pair][::-1] if reverse else types[pair]
        worth = [
            float(c) - (0 if triples.seen(head, name, tail) else penalty)
            for c, name in zip(cosines[direction, pair], NAMES, strict=True)
        ]
        assert (column, score) == (worth.index(max(worth)), max(worth))


def test_no_pairs_have_no_decisions():
    made = decide(np.zeros((2, 0, 3), np.float32), [], NAMES, triples=Triples(), penalty=0.1)
    assert list(made.rows()) == []


class Model:
    """A relation model that can not read long rows, and answers with the lengths of its rows."""

    relations = NAMES

    def __init__(self):
        self.calls = []

    def fits(self, rows):
        return [len(row.text) < 12 for row in rows]

    def similarities(self, rows):
        self.calls.append(len(rows))
        return np.array([[len(r.text), r.head.start, r.tail.start] for r in rows], dtype=np.float32)


def test_rows_that_can_not_be_read_are_left_out_and_named(monkeypatch):
    monkeypatch.setattr("cfcre.extraction.joining._ROWS", 2)
    texts = ["a b", "a " + "x" * 20 + " b", "a c b", "a " + "y" * 20 + " b", "a dd b"]
    rows = []
    for text in texts:
        document = Document.from_text(text)
        spans = [(0, 1), (len(document.words) - 1, len(document.words))]
        pairs = pairs_of(spans, [(0, len(document.words))], reach=9)
        rows += pair_rows(text, document.offsets, spans, pairs)
    model = Model()
    cosines, scores, read = pair_scores(model, rows)
    assert read == [0, 2, 4]
    assert model.calls == [2, 2, 2], "both directions, two pairs at a time"
    assert cosines[0].tolist() == [[3, 0, 2], [5, 0, 4], [6, 0, 5]]
    assert cosines[1].tolist() == [[3, 2, 0], [5, 4, 0], [6, 5, 0]]
    assert np.array_equal(scores, cosines), "a model without a rule predicts by its cosines"
    assert pair_scores(model, [rows[1]])[0].shape == (2, 0, 3)


def test_a_predictor_is_asked_by_its_rule(predictor):
    document = Document.from_text("by all accounts carla penned quito in spring 3")
    spans = [(3, 4), (5, 6)]
    pairs = pairs_of(spans, [(0, len(document.words))], reach=99)
    rows = pair_rows(document.text, document.offsets, spans, pairs)
    cosines, scores, read = pair_scores(predictor, rows)
    assert read == [0] and not np.allclose(cosines, scores)
    turned = [*rows, *(replace(r, head=r.tail, tail=r.head) for r in rows)]
    np.testing.assert_allclose(cosines[:, 0], predictor.similarities(turned), atol=1e-6)
    for row, ranked in zip(scores[:, 0], predictor.predict(turned, top_k=99), strict=True):
        expected = {p.relation: p.score for p in ranked}
        found = dict(zip(predictor.relations, row.tolist(), strict=True))
        assert found == pytest.approx(expected, rel=1e-5)


class TestThresholds:
    scores = st.lists(st.integers(-4, 4), max_size=12)

    @settings(max_examples=200, deadline=None)
    @given(scores, st.data(), st.integers(0, 5))
    def test_the_best_f1_by_trying_all(self, values, data, missed):
        scores = np.array(values, dtype=np.float32) / 4
        right = np.array([data.draw(st.booleans()) for _ in values], dtype=bool)
        labelled = int(right.sum()) + missed

        def f1(threshold):
            said = scores >= threshold
            total = int(said.sum()) + labelled
            return 2 * int((said & right).sum()) / total if total else 0.0

        found = best_threshold(scores, right, labelled)
        best = max((f1(t) for t in scores), default=0.0)
        assert f1(found) == pytest.approx(best)
        larger = [t for t in scores if t > found]
        assert all(f1(t) < best for t in larger if set(scores[scores >= t]) != set(larger)) or not (
            best
        ), "of equally good thresholds the largest"
        if not best:
            assert not (scores >= found).any()

    @settings(max_examples=200, deadline=None)
    @given(scores, st.integers(0, 30), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    def test_the_share_by_trying_all(self, values, more, share):
        scores = np.array(values, dtype=np.float32) / 4
        pairs = len(values) + more
        found = threshold_of_share(scores, pairs, share)
        assert (scores >= found).sum() <= share * pairs
        lower = scores[scores < found]
        if len(lower):
            assert (scores >= lower.max()).sum() > share * pairs, "no lower threshold would do"


class TestTriples:
    documents = (
        Document(
            ("a", "b", "c"),
            (Entity(0, 1, "Peop"), Entity(1, 2, "Loc"), Entity(2, 3, "Peop")),
            (Relation(0, 1, "a"), Relation(2, 1, "a"), Relation(0, 2, "b"), Relation(1, 0, "c")),
        ),
    )

    def test_counts(self):
        found = count_triples(self.documents, frozenset({"c"}))
        assert found.counts == {
            "a": {("Peop", "Loc"): 2},
            "b": {("Peop", "Peop"): 1},
            "c": {("Loc", "Peop"): 1},
        }
        assert found.seen("Peop", "a", "Loc") and not found.seen("Loc", "a", "Peop")
        assert found.seen("Peop", "c", "Loc"), "it holds both ways"
        assert found.seen("Loc", "never labelled", "Loc"), "nothing is known of it"
        assert Triples.from_json(found.to_json()) == found

    def test_both_joined(self):
        one = Triples({"a": {("Peop", "Loc"): 2}})
        other = Triples({"a": {("Peop", "Loc"): 1, ("Loc", "Loc"): 1}, "b": {("Loc", "Loc"): 3}})
        joined = one.joined(other)
        assert joined == other.joined(one)
        assert joined.counts["a"] == {("Peop", "Loc"): 2, ("Loc", "Loc"): 1}

    def test_tables(self):
        found = count_triples(self.documents)
        table = found.seen_table([("Peop", "Loc"), ("Loc", "Loc"), ("Peop", "Loc")], NAMES)
        assert table.tolist() == [[True, False, False], [False] * 3, [True, False, False]]
        assert found.seen_table([], NAMES).shape == (0, 3)
