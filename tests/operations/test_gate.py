"""Each rule of the gate alone: at its limit, over it, and with numbers that are none."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from cfcre.config import GateSettings
from cfcre.operations.gate import judge

GATE = GateSettings(
    min_new_task_accuracy=0.5,
    max_mean_forgetting=0.25,
    max_relation_drop=0.6,
    min_relation_support=5,
    max_negative_flip_rate=0.25,
)
GOOD: dict[str, Any] = {
    "accuracy": [0.9, 0.8],
    "forgetting": 0.05,
    "champion": {"version": "1"},
    "relation_changes": [
        {"relation": "r1", "champion": 0.9, "candidate": 0.8, "change": -0.1, "support": 5},
        {"relation": "r2", "champion": 0.8, "candidate": 0.9, "change": 0.1, "support": 9},
    ],
    "negative_flips": {"count": 3, "rows": 96, "rate": 0.03},
}


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    evaluation = copy.deepcopy(GOOD)
    node: Any = evaluation
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return evaluation


def failed(evaluation: dict[str, Any], gate: GateSettings = GATE) -> list[str]:
    verdict = judge(evaluation, gate)
    names = [check.name for check in verdict.checks if not check.passed]
    assert verdict.verdict == ("hold" if names else "promote")
    return names


RULES = [
    (("accuracy", 1), "new_task_accuracy", 0.5, 0.499),
    (("forgetting",), "mean_forgetting", 0.25, 0.251),
    # 0.3 - 0.9 is -0.6000000000000001: at the limit all the same.
    (("relation_changes", 0, "change"), "worst_relation_drop", 0.3 - 0.9, -0.601),
    (("negative_flips", "rate"), "negative_flips", 0.25, 0.251),
]


@pytest.mark.parametrize(("path", "name", "limit", "over"), RULES)
def test_a_value_at_the_limit_passes_and_one_over_it_fails_only_its_rule(
    path: tuple[Any, ...], name: str, limit: float, over: float
) -> None:
    assert failed(changed(path, limit)) == []
    assert failed(changed(path, over)) == [name]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.9", True])
@pytest.mark.parametrize("path", [rule[0] for rule in RULES])
def test_what_is_no_number_is_rejected(path: tuple[Any, ...], value: Any) -> None:
    name = next(rule[1] for rule in RULES if rule[0] == path)
    evaluation = changed(path, value)
    assert name in failed(evaluation)
    # The verdict itself can always be written as strict JSON.
    json.dumps(judge(evaluation, GATE).to_json(), allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, None])
def test_an_unknown_accuracy_of_an_old_task_makes_forgetting_unknown(value: Any) -> None:
    assert failed(changed(("accuracy", 0), value)) == ["mean_forgetting"]


@pytest.mark.parametrize("key", ["accuracy", "forgetting", "relation_changes", "negative_flips"])
def test_a_missing_part_is_rejected(key: str) -> None:
    evaluation = copy.deepcopy(GOOD)
    del evaluation[key]
    assert failed(evaluation) != []


def test_a_relation_with_little_support_is_not_judged() -> None:
    evaluation = changed(("relation_changes", 0, "change"), -1.0)
    assert failed(evaluation) == ["worst_relation_drop"]
    evaluation["relation_changes"][0]["support"] = 4
    assert failed(evaluation) == []
    evaluation["relation_changes"][0]["change"] = math.nan
    assert failed(evaluation) == []
    evaluation["relation_changes"][0]["support"] = math.nan
    assert failed(evaluation) == ["worst_relation_drop"]


def test_the_worst_relation_is_found_wherever_it_stands_and_is_named() -> None:
    check = judge(changed(("relation_changes", 1, "change"), -0.7), GATE).checks[2]
    assert not check.passed
    assert check.value == pytest.approx(0.7)
    assert "'r2'" in check.detail


def test_the_first_version_is_judged_by_floor_and_forgetting_only() -> None:
    first = {"accuracy": [0.8], "forgetting": 0.0, "champion": None}
    assert [check.name for check in judge(first, GATE).checks] == [
        "new_task_accuracy",
        "mean_forgetting",
    ]
    assert failed(first) == []
    assert failed({**first, "accuracy": [0.4]}) == ["new_task_accuracy"]
    # The rules against a champion do not apply, whatever these fields hold.
    assert failed({**first, "negative_flips": {"rate": 1.0}}) == []


def test_the_table_shows_every_check_and_the_verdict() -> None:
    lines = judge(changed(("forgetting",), 0.5), GATE).lines()
    assert len(lines) == 6
    assert lines[-1] == "verdict: hold"
    assert [line[:4] for line in lines[1:5]] == ["pass", "FAIL", "pass", "pass"]
    assert "0.5000" in lines[2] and "0.2500" in lines[2]
