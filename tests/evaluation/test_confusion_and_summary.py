"""The confusion matrix against scikit-learn's; the page read back as a table."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from cfcre.evaluation.confusion import confusion_counts
from cfcre.evaluation.summary import accuracy_page

RELATIONS = [f"r{i:02d}" for i in range(30)]


def answers(count: int, seed: int, relations: list[str]) -> tuple[list[str], list[str]]:
    generator = random.Random(seed)
    truth = [generator.choice(relations) for _ in range(count)]
    predicted = [t if generator.random() < 0.7 else generator.choice(relations) for t in truth]
    return truth, predicted


@pytest.mark.parametrize("seed", range(5))
def test_it_counts_as_scikit_learn_does(seed: int) -> None:
    truth, predicted = answers(400, seed, RELATIONS)
    found = confusion_counts(truth, predicted, RELATIONS, np.eye(30, dtype=np.float32))
    chosen, others = found["relations"][:-1], found["relations"][-1]
    assert len(chosen) == 12

    def named(values: list[str]) -> list[str]:
        return [value if value in chosen else others for value in values]

    expected = confusion_matrix(named(truth), named(predicted), labels=found["relations"])
    assert found["counts"] == expected.tolist()
    assert sum(map(sum, found["counts"])) == 400, "nothing is left out"


def test_the_most_confused_relations_are_chosen() -> None:
    truth = ["a"] * 9 + ["b"] * 9 + ["c"] * 9 + ["d"] * 9
    predicted = ["b"] * 5 + ["a"] * 4 + ["b"] * 9 + ["d"] * 2 + ["c"] * 7 + ["d"] * 9
    found = confusion_counts(
        truth, predicted, ["a", "b", "c", "d"], np.eye(4, dtype=np.float32), most=2
    )
    assert found["relations"] == ["a", "b", "(all others)"]
    assert found["counts"] == [[4, 5, 0], [0, 9, 0], [0, 0, 18]]


def test_without_confusion_the_most_alike_are_chosen() -> None:
    cosine = np.eye(4, dtype=np.float32)
    cosine[1, 3] = cosine[3, 1] = 0.9
    names = ["a", "b", "c", "d"]
    found = confusion_counts(names, names, names, cosine, most=2)
    assert found["relations"] == ["b", "d", "(all others)"]
    assert found["counts"] == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]


def test_few_relations_need_no_others() -> None:
    found = confusion_counts(["a", "b"], ["a", "a"], ["a", "b"], np.eye(2, dtype=np.float32))
    assert found == {"relations": ["b", "a"], "counts": [[0, 1], [0, 1]]}
    single = confusion_counts(["a"], ["a"], ["a"], np.eye(1, dtype=np.float32))
    assert single == {"relations": ["a"], "counts": [[1]]}


EVALUATION = {
    "task": 2,
    "tasks": [{"task": 1, "batch_name": "a|b"}, {"task": 2, "batch_name": "<script>*x*"}],
    "accuracy_matrix": [[0.95], [0.9, 1.0]],
    "average_accuracy": 0.95,
    "overall_accuracy": 0.9412,
    "forgetting": 0.05,
    "negative_flips": {"count": 1, "rows": 40, "rate": 0.025},
}


def test_the_page_holds_the_matrix_and_the_verdict() -> None:
    page = accuracy_page(EVALUATION, {"verdict": "hold", "reason": "fell\nby 0.4"})
    assert "**hold**: fell by 0.4" in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert lines[2:4] == ["| 1 | 0.950 |  |", "| 2 | 0.900 | 1.000 |"]
    assert "| overall accuracy | 0.941 |" in lines
    assert "| negative flips | 1 of 40 rows |" in lines


def test_names_are_text_and_stay_in_their_cell() -> None:
    page = accuracy_page(EVALUATION, {"verdict": "hold", "reason": "x"})
    assert r"1: a\|b" in page
    assert r"2: \<script\>\*x\*" in page
    assert "<script>" not in page
