"""Prediction: batched equals single, bad spans are errors, ranking is honest."""

from __future__ import annotations

import numpy as np
import pytest

from cfcre.data.schema import RelationExample, Span
from cfcre.errors import DataError
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task


@pytest.fixture
def learned(tiny_settings, relation_rows):
    """Function from a method to the predictor of a learned task."""

    def predictor(method):
        of_method = tiny_settings.method.model_copy(update={"name": method})
        settings = tiny_settings.model_copy(update={"method": of_method})
        state = LearnerState.fresh(settings)
        rows = relation_rows(["owns", "wrote", "founded"], 12)
        learn_task(state, rows, settings, {"batch": "b", "batch_name": "b"})
        return Predictor(state, settings.compute)

    return predictor


@pytest.fixture
def predictor(learned, tiny_settings):
    return learned(tiny_settings.method.name)


def test_batched_equals_single(predictor, relation_rows):
    rows = relation_rows(["owns", "wrote", "founded"], 15, seed=9)
    together = predictor.similarities(rows)
    alone = np.concatenate([predictor.similarities([row]) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert predictor.predict_best(rows) == [predictor.predict_best([r])[0] for r in rows]


def test_top_k_is_sorted_and_sums_to_one(predictor, relation_rows):
    (ranked,) = predictor.predict(relation_rows(["owns"], 1), top_k=3)
    assert [p.score for p in ranked] == sorted((p.score for p in ranked), reverse=True)
    assert sum(p.probability for p in ranked) == pytest.approx(1, abs=1e-5)
    assert {p.relation for p in ranked} == {"owns", "wrote", "founded"}


def test_scores_are_cosines_with_the_prototypes(learned, relation_rows):
    predictor = learned("cf-cre")
    rows = relation_rows(["wrote"], 4, seed=3)
    for e, h, ranked in zip(rows, predictor.embed(rows), predictor.predict(rows), strict=True):
        best = max(range(3), key=lambda r: float(np.dot(h, predictor.prototypes[r])))
        assert ranked[0].relation == predictor.relations[best], e.text
        assert ranked[0].score == pytest.approx(float(h @ predictor.prototypes[best]), abs=1e-6)


def test_nothing_in_nothing_out(predictor):
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    ("head", "tail", "message"),
    [
        ((0, 3), (5, 99), "tail span"),
        ((2, 2), (4, 6), "head span"),
        ((0, 5), (3, 8), "overlap"),
        ((-1, 2), (4, 6), "head span"),
    ],
)
def test_bad_spans_say_what_is_wrong(predictor, head, tail, message):
    with pytest.raises(DataError, match=message):
        predictor.predict([RelationExample("ada owns riga", Span(*head), Span(*tail))])
