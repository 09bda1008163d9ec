"""Merged windows and overlap policies beside the same written out by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.errors import DataError
from cfcre.extraction.merging import (
    FoundInText,
    WordEntity,
    merge_entities,
    merge_windows,
    resolve_overlaps,
)
from cfcre.extraction.reading import Reading
from cfcre.extraction.results import ExtractedRelation
from cfcre.extraction.windows import Plan
from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.predicting import PredictedLabels

TYPES = LabelTypes(("Loc", "Org"), ("in", "near"))
entity = st.builds(
    lambda start, width, kind, score: WordEntity(start, start + width, kind, score / 8),
    st.integers(0, 9),
    st.integers(1, 4),
    st.sampled_from(TYPES.entities),
    st.integers(1, 8),
)


def share_words(a: WordEntity, b: WordEntity) -> bool:
    return bool(set(range(a.start, a.end)) & set(range(b.start, b.end)))


@settings(max_examples=100, deadline=None)
@given(st.lists(entity, max_size=12), st.randoms())
def test_an_entity_of_several_windows_is_one_with_its_best_score(found, random):
    merged = merge_entities(found)
    assert sorted({e[:2] for e in found}) == [e[:2] for e in merged], "each span once, in order"
    for one in merged:
        same = [e for e in found if e[:2] == one[:2]]
        assert one.score == max(e.score for e in same)
        assert one.type == min(e.type for e in same if e.score == one.score)
    shuffled = list(found)
    random.shuffle(shuffled)
    assert merge_entities(shuffled) == merged


@settings(max_examples=150, deadline=None)
@given(st.lists(entity, max_size=12))
def test_the_best_of_overlapping_entities_stay(found):
    merged = merge_entities(found)
    kept = resolve_overlaps(merged, "best", [str(i) for i in range(13)], "text 0")
    # By brute force: repeatedly take the best that is left and drop all that share words with it.
    left, expected = list(merged), []
    while left:
        best = min(left, key=lambda e: (-e.score, -(e.end - e.start), e.start))
        expected.append(best)
        left = [e for e in left if not share_words(e, best)]
    assert kept == sorted(expected)
    for a, b in itertools.combinations(kept, 2):
        assert not share_words(a, b)
    assert resolve_overlaps(merged, "allow", [], "text 0") == merged


@settings(max_examples=150, deadline=None)
@given(st.lists(entity, max_size=6))
def test_overlaps_are_refused_where_they_are_an_error(found):
    merged = merge_entities(found)
    words = [f"word{i}" for i in range(13)]
    clash = any(share_words(a, b) for a, b in itertools.combinations(merged, 2))
    if not clash:
        assert resolve_overlaps(merged, "error", words, "text 0") == merged
        return
    with pytest.raises(DataError, match=r"text 0: entities '.*' \(.*\) and .* share words"):
        resolve_overlaps(merged, "error", words, "text 0")


def labels_of(windows: list[tuple[list[WordEntity], list[tuple[int, int, int, float]]]]):
    """Predictions of windows as packed arrays; spans count from each window's first word."""
    documents, entities, relations = [], [], []
    for number, (found, related) in enumerate(windows):
        relations += [(len(entities) + h, len(entities) + t, k, s) for h, t, k, s in related]
        entities += found
        documents += [number] * len(found)

    def column(rows, place, dtype):
        return np.array([row[place] for row in rows], dtype=dtype)

    kinds = [TYPES.entity_number[e.type] for e in entities]
    return PredictedLabels(
        np.array(documents, dtype=np.int64),
        column(entities, 0, np.int64),
        column(entities, 1, np.int64),
        np.array(kinds, dtype=np.int64),
        column(entities, 3, np.float32),
        column(relations, 0, np.int64),
        column(relations, 1, np.int64),
        column(relations, 2, np.int64),
        column(relations, 3, np.float32),
    )


@st.composite
def windowed(draw):
    """Two texts of ten words, each in windows of six words, and what was found in these."""
    windows = []
    for _ in range(6):
        spans = draw(st.lists(entity.filter(lambda e: e.end <= 6), max_size=4))
        found = merge_entities(spans)
        pairs = [p for p in itertools.permutations(range(len(found)), 2)]
        related = draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
        kinds = [(h, t, draw(st.integers(0, 1)), draw(st.integers(1, 8)) / 8) for h, t in related]
        windows.append((found, kinds))
    return windows


@settings(max_examples=80, deadline=None)
@given(windowed(), st.sampled_from(["allow", "best"]))
def test_windows_become_texts(windows, policy):
    document = Document.from_words([f"w{i}" for i in range(10)])
    plan = Plan(((0, 6), (2, 8), (4, 10)), ())
    starts = np.array([0, 2, 4, 0, 2, 4])
    reading = Reading([document] * 2, [plan] * 2, None, np.repeat([0, 1], 3), starts)
    made = merge_windows(reading, labels_of(windows), TYPES, policy)
    for text in (0, 1):
        own = list(zip(windows[3 * text :][:3], (0, 2, 4), strict=True))
        everything = [
            WordEntity(e.start + shift, e.end + shift, e.type, e.score)
            for (found, _), shift in own
            for e in found
        ]
        entities = resolve_overlaps(merge_entities(everything), policy, document.words, "")
        place = {e[:2]: i for i, e in enumerate(entities)}
        best: dict[tuple[int, int, str], float] = {}
        for (found, related), shift in own:
            for head, tail, kind, score in related:
                ends = [
                    place.get((found[i].start + shift, found[i].end + shift)) for i in (head, tail)
                ]
                if None not in ends:
                    key = (*ends, TYPES.relations[kind])
                    best[key] = max(score, best.get(key, 0))
        relations = [ExtractedRelation(*key, score, "spans") for key, score in best.items()]
        assert made[text].entities == entities
        assert sorted(map(repr, made[text].relations)) == sorted(map(repr, relations))


def test_nothing_found_is_nothing():
    reading = Reading([Document(())], [Plan((), ())], None, np.zeros(0, int), np.zeros(0, int))
    assert merge_windows(reading, labels_of([]), TYPES, "best") == [FoundInText([], [])]
