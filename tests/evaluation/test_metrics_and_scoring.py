"""Metrics against hand-computed matrices; scoring against a brute-force count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cfcre.data.schema import RelationExample, Span
from cfcre.errors import DataError
from cfcre.evaluation.metrics import average_accuracy, average_forgetting
from cfcre.evaluation.scoring import TaskTestSet, evaluate

MATRIX = [[0.9], [0.6, 1.0], [0.7, 0.8, 0.9]]


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert average_accuracy(MATRIX) == pytest.approx(0.8)


def test_forgetting_is_the_fall_from_each_tasks_best():
    # Task 1: best of 0.9, 0.6 is 0.9, now 0.7. Task 2: 1.0, now 0.8.
    assert average_forgetting(MATRIX) == pytest.approx((0.2 + 0.2) / 2)
    assert average_forgetting([[0.4]]) == 0.0
    assert average_forgetting([[0.4], [0.6, 1.0]]) == pytest.approx(-0.2)


def test_a_matrix_that_is_not_triangular_is_refused():
    with pytest.raises(ValueError, match="row 2"):
        average_forgetting([[0.1], [0.2]])


class Table:
    """A predictor that looks answers up by text."""

    def __init__(self, relations, answers):
        self.relations = relations
        self.answers = answers
        self.prototypes = np.eye(len(relations), dtype=np.float32)

    def predict_best(self, examples):
        return [self.answers[e.text] for e in examples]


def rows(*pairs):
    return [RelationExample(text, Span(0, 1), Span(1, 2), relation) for text, relation in pairs]


TASKS = [
    TaskTestSet(1, "h1", "one", rows(("aa", "r"), ("bb", "r"), ("cc", "s"), ("dd", "s"))),
    TaskTestSet(2, "h2", "two", rows(("ee", "t"), ("ff", "t"))),
]
CANDIDATE = Table(
    ["r", "s", "t"], {"aa": "r", "bb": "s", "cc": "s", "dd": "t", "ee": "t", "ff": "t"}
)
CHAMPION = Table(["r", "s"], {"aa": "r", "bb": "r", "cc": "s", "dd": "r", "ee": "s", "ff": "r"})


def test_evaluation_counts_what_a_person_would_count():
    result = evaluate(CANDIDATE, CHAMPION, TASKS, [[0.75]], champion_version="1")
    assert result["accuracy"] == [0.5, 1.0]
    assert result["accuracy_matrix"] == [[0.75], [0.5, 1.0]]
    assert result["average_accuracy"] == pytest.approx(0.75)
    assert result["overall_accuracy"] == pytest.approx(4 / 6)
    assert result["forgetting"] == pytest.approx(0.25)
    assert result["per_relation"]["r"] == {"accuracy": 0.5, "support": 2}
    assert result["champion"]["accuracy"] == [0.75, 0.0]
    # Only "bb" was right before and is wrong now.
    assert result["negative_flips"] == {"count": 1, "rows": 6, "rate": pytest.approx(1 / 6)}
    assert [(c["relation"], c["change"]) for c in result["relation_changes"]] == [
        ("r", -0.5),
        ("s", 0.0),
    ], "t is new to the champion, so there is no change to judge"
    assert [(c["true"], c["predicted"], c["count"]) for c in result["similar_confusions"]] == [
        ("r", "s", 1),
        ("s", "t", 1),
    ]
    json.dumps(result, allow_nan=False)


def test_first_evaluation_has_no_champion():
    result = evaluate(CHAMPION, None, TASKS[:1], [])
    assert result["champion"] is None and result["relation_changes"] == []
    assert result["forgetting"] == 0.0


def test_tasks_without_rows_and_matrices_that_do_not_fit_are_errors():
    with pytest.raises(DataError, match="no test rows"):
        evaluate(CANDIDATE, None, [TaskTestSet(1, "h", "empty", [])], [])
    with pytest.raises(DataError, match="earlier rows"):
        evaluate(CANDIDATE, None, TASKS, [])
