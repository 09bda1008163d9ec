"""Prediction rules against brute force, and what a state that lacks a rule's tensors says."""

from __future__ import annotations

import math

import numpy as np
import numpy_formulas as formula
import pytest
import torch

from cfcre.errors import StateError
from cfcre.modeling.rules import RULES, make_rule


@pytest.fixture(params=[0, 1])
def case(request):
    """Unit representations [5, 6], unit prototypes [4, 6], and extras of the linear rule."""
    generator = np.random.default_rng(request.param)
    rows = generator.normal(size=(9, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    extras = {
        "linear.weight": torch.tensor(generator.normal(size=(4, 6))),
        "linear.bias": torch.tensor(generator.normal(size=4)),
    }
    return rows[:5], rows[5:], extras


def test_nearest_prototype_is_eq_12(case):
    unit, prototypes, _ = case
    rule = make_rule("nearest-prototype", prototypes, {}, 7.0)
    scores = rule.scores(unit)
    probabilities = rule.probabilities(scores)
    for i, h in enumerate(unit):
        cosines = [formula.cosine(h, p) for p in prototypes]
        np.testing.assert_allclose(scores[i], cosines, atol=1e-6)
        weights = [math.exp(7 * c) for c in cosines]
        np.testing.assert_allclose(probabilities[i], np.divide(weights, sum(weights)), atol=1e-6)


def test_linear_is_a_softmax_classifier(case):
    unit, prototypes, extras = case
    rule = make_rule("linear", prototypes, extras, 7.0)
    scores = rule.scores(unit)
    assert scores.dtype == np.float32
    weight, bias = (extras[f"linear.{name}"].numpy() for name in ("weight", "bias"))
    for i, h in enumerate(unit):
        logits = [float(np.dot(weight[r], h) + bias[r]) for r in range(4)]
        np.testing.assert_allclose(scores[i], logits, atol=1e-5)
        weights = [math.exp(z) for z in logits]
        np.testing.assert_allclose(
            rule.probabilities(scores)[i], np.divide(weights, sum(weights)), atol=1e-6
        )


def test_an_unknown_rule_lists_the_known_ones(case):
    with pytest.raises(StateError, match=r"rule 'magic'.*nearest-prototype, linear"):
        make_rule("magic", case[1], {}, 1.0)


@pytest.mark.parametrize("name", sorted(set(RULES) - {"nearest-prototype"}))
def test_a_missing_tensor_is_named(name, case):
    with pytest.raises(StateError, match="lacks the tensor"):
        make_rule(name, case[1], {}, 1.0)


def test_a_tensor_of_another_number_of_relations_is_refused(case):
    _, prototypes, extras = case
    with pytest.raises(StateError, match=r"'linear\.bias' has the shape \(3,\); its rule needs"):
        make_rule("linear", prototypes, {**extras, "linear.bias": torch.zeros(3)}, 1.0)
