"""Scores against scikit-learn, counting by tuples, and cases worked out by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support
from span_documents import random_document, types
from spans_literal import literal_scores

from cfcre.errors import DataError
from cfcre.spans.checks import ordered_relation
from cfcre.spans.documents import Document, Entity, Relation
from cfcre.spans.folds import find_folds, mean_scores
from cfcre.spans.gold import gold_labels
from cfcre.spans.scoring import score_labels

TYPES = types()


def disturbed(document: Document, generator: random.Random) -> Document:
    """Some entities lost, moved or of another type; some relations lost or of another type."""
    entities, places = [], {}
    seen = set()
    for number, entity in enumerate(document.entities):
        if generator.random() < 0.2:
            continue
        start, end = entity.start, entity.end
        if generator.random() < 0.2:
            end = min(len(document.words), end + 1)
        if (start, end) in seen:
            continue
        seen.add((start, end))
        kind = generator.choice(TYPES.entities) if generator.random() < 0.3 else entity.type
        places[number] = len(entities)
        entities.append(Entity(start, end, kind))
    relations = {}
    for head, tail, name in document.relations:
        if head in places and tail in places and generator.random() < 0.8:
            kind = generator.choice(TYPES.relations) if generator.random() < 0.3 else name
            made = Relation(places[head], places[tail], kind)
            relations[ordered_relation(made, tuple(entities), TYPES.symmetric)] = None
    return Document(document.words, tuple(entities), tuple(relations))


def tuples(document: Document, task: str) -> set:
    if task == "entities":
        return set(document.entities)
    cut = 3 if task == "relations_strict" else 2
    return {
        (document.entities[h][:cut], document.entities[t][:cut], name)
        for h, t, name in document.relations
    }


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 8), seed=st.integers(0, 99_999))
def test_scores_are_those_of_counting_and_of_scikit_learn(count, seed):
    generator = random.Random(seed)
    gold = [random_document(generator) for _ in range(count)]
    found = [disturbed(d, generator) for d in gold]
    scores = score_labels(gold_labels(gold, TYPES), gold_labels(found, TYPES), TYPES)
    for task, ours in scores.items():
        names = TYPES.entities if task == "entities" else TYPES.relations
        wanted = [tuples(d, task) for d in gold]
        given_ = [tuples(d, task) for d in found]
        counted = literal_scores(wanted, given_, list(names), lambda x: x[2])
        # SpERT's own way: one row for each tuple of either side, class 0 where it is missing.
        true, predicted = [], []
        for a, b in zip(wanted, given_, strict=True):
            for item in a | b:
                number = names.index(item[2]) + 1
                true.append(number if item in a else 0)
                predicted.append(number if item in b else 0)
        present = sorted({n for n in true + predicted if n})
        for average in ("micro", "macro"):
            figures = vars(getattr(ours, average))
            mine = [figures[n] for n in ("precision", "recall", "f1")]
            assert mine == pytest.approx(counted[average])
            if present:
                theirs = precision_recall_fscore_support(
                    true, predicted, labels=present, average=average, zero_division=0
                )[:3]
                assert mine == pytest.approx(theirs)
        for name, figures in ours.per_type.items():
            assert [figures.precision, figures.recall, figures.f1] == pytest.approx(
                counted["per_type"][name]
            )


def one(entities, relations=()) -> Document:
    return Document(("a", "b", "c", "d"), tuple(entities), tuple(relations))


def test_relaxed_forgives_a_wrong_entity_type_and_strict_does_not():
    ends = [Entity(0, 1, "Peop"), Entity(2, 3, "Org")]
    gold = one(ends, [Relation(0, 1, "Work")])
    found = one([ends[0], Entity(2, 3, "Loc")], [Relation(0, 1, "Work")])
    scores = score_labels(gold_labels([gold], TYPES), gold_labels([found], TYPES), TYPES)
    assert scores["relations"].micro.f1 == 1
    assert scores["relations_strict"].micro.f1 == 0
    assert scores["entities"].micro.f1 == pytest.approx(0.5)


def test_the_same_tuple_in_another_document_does_not_count():
    empty, full = one([]), one([Entity(0, 1, "Peop")])
    scores = score_labels(
        gold_labels([empty, full], TYPES), gold_labels([full, empty], TYPES), TYPES
    )
    assert scores["entities"].micro.f1 == 0
    assert scores["entities"].per_type["Peop"].support == 1


def test_a_direction_counts():
    ends = [Entity(0, 1, "Peop"), Entity(2, 3, "Org")]
    gold, found = (one(ends, [Relation(h, t, "Work")]) for h, t in ((0, 1), (1, 0)))
    scores = score_labels(gold_labels([gold], TYPES), gold_labels([found], TYPES), TYPES)
    assert scores["relations"].micro.f1 == 0


def test_nothing_against_nothing_is_zero_and_macro_leaves_absent_types_out():
    nothing = gold_labels([one([])], TYPES)
    assert score_labels(nothing, nothing, TYPES)["entities"].macro.f1 == 0
    gold = gold_labels([one([Entity(0, 1, "Peop")])], TYPES)
    assert score_labels(gold, gold, TYPES)["entities"].macro.f1 == 1


class TestFolds:
    def fold(self, folder, number, prefix="ade_"):
        for part in ("train", "test"):
            (folder / f"{prefix}split_{number}_{part}.json").write_text("[]")

    def test_are_found_in_order(self, tmp_path):
        for number in (10, 2, 0):
            self.fold(tmp_path, number)
        (tmp_path / "ade_types.json").write_text("{}")
        folds, known = find_folds(tmp_path)
        assert [f.number for f in folds] == [0, 2, 10]
        assert folds[1].test.name == "ade_split_2_test.json"
        assert known == tmp_path / "ade_types.json"

    def test_what_is_missing_is_named(self, tmp_path):
        with pytest.raises(DataError, match="holds no fold"):
            find_folds(tmp_path)
        self.fold(tmp_path, 1)
        self.fold(tmp_path, 1, prefix="other_")
        with pytest.raises(DataError, match="fold 1"):
            find_folds(tmp_path)
        (tmp_path / "ade_split_1_test.json").unlink()
        with pytest.raises(DataError, match=r"no ade_split_1_test\.json"):
            find_folds(tmp_path)

    def test_the_mean_is_over_folds(self):
        def scores(f1):
            figures = {"precision": 1.0, "recall": 0.5, "f1": f1}
            return {"entities": {"micro": figures, "macro": figures}}

        mean = mean_scores([scores(0.2), scores(0.4)])["entities"]["macro"]
        assert mean["f1"]["mean"] == pytest.approx(0.3)
        assert mean["f1"]["deviation"] == pytest.approx(0.1414, abs=1e-4)
        assert mean_scores([scores(0.2)])["entities"]["micro"]["f1"]["deviation"] == 0
