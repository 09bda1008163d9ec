"""RP-CRE's memory network against its formula: value, every gradient, and the prediction rule."""

from __future__ import annotations

import math

import numpy as np
import numpy_attention as oracle
import numpy_formulas as formula
import pytest
import torch

from cfcre.errors import StateError
from cfcre.modeling import rules
from cfcre.modeling.attention_memory import AttentionMemory
from cfcre.modeling.losses import replay_loss
from cfcre.modeling.rules import make_rule

SCALE = 6.0
SIZE, HEADS, KEY = 5, 2, 3


@pytest.fixture(params=[0, 1])
def case(request):
    """Representations [4, 5], prototypes [3, 5], relation embeddings [3, 5], labels, module."""
    generator = np.random.default_rng(request.param)
    module = AttentionMemory(SIZE, HEADS, KEY, torch.Generator().manual_seed(request.param))
    module = module.double()
    with torch.no_grad():
        # Biases and gains start at 0 and 1, where an error in them would not show.
        for parameter in module.parameters():
            parameter += 0.3 * torch.tensor(generator.normal(size=parameter.shape))
    h, prototypes, relations = (generator.normal(size=(n, SIZE)) for n in (4, 3, 3))
    return h, prototypes, relations, generator.integers(0, 3, 4), module


def weights(module):
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def test_refined_representations_match_the_formula(case):
    h, prototypes, _, _, module = case
    refined = module(torch.tensor(h), torch.tensor(prototypes)).detach().numpy()
    for row, found in zip(h, refined, strict=True):
        wanted = oracle.attention_memory(row, prototypes, weights(module))
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_loss_and_all_gradients_match_the_formula(case):
    h, prototypes, relations, labels, module = case
    h_t = torch.tensor(h, requires_grad=True)
    e_t = torch.tensor(relations, requires_grad=True)
    refined = module(h_t, torch.tensor(prototypes))
    value = replay_loss(refined, e_t, torch.tensor(labels), scale=SCALE)
    w = weights(module)
    expected = oracle.refined_loss(h, prototypes, relations, labels, w, SCALE)
    assert value.item() == pytest.approx(expected, rel=1e-10)
    value.backward()

    def loss(h=h, relations=relations, **changed):
        return oracle.refined_loss(h, prototypes, relations, labels, {**w, **changed}, SCALE)

    found = {"h": h_t.grad, "relations": e_t.grad}
    found |= {name: parameter.grad for name, parameter in module.named_parameters()}
    for name, at in {"h": h, "relations": relations, **w}.items():
        numerical = formula.central_difference(lambda x, name=name: loss(**{name: x}), at)
        np.testing.assert_allclose(found[name].numpy(), numerical, atol=1e-7, err_msg=name)


def test_length_of_a_vector_and_order_of_the_prototypes_do_not_matter(case):
    h, prototypes, _, _, module = case
    h, prototypes = torch.tensor(h), torch.tensor(prototypes)
    refined = module(h, prototypes)
    torch.testing.assert_close(module(3 * h, prototypes / 7), refined)
    torch.testing.assert_close(module(h, prototypes[[2, 0, 1]]), refined)


def test_same_generator_same_weights_and_back_from_tensors():
    one, two = (AttentionMemory(5, 2, 3, torch.Generator().manual_seed(4)) for _ in range(2))
    third = AttentionMemory.from_tensors(one.state_dict())
    for a, b, c in zip(one.parameters(), two.parameters(), third.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)


def extras(module, relations):
    tensors = {f"attention.{k}": v.float() for k, v in module.state_dict().items()}
    return {**tensors, "attention.relations": torch.tensor(relations).float()}


def test_many_rows_are_scored_in_parts(case, monkeypatch):
    h, prototypes, relations, _, module = case
    unit = (h / np.linalg.norm(h, axis=1, keepdims=True)).astype(np.float32)
    rule = make_rule(
        "attention-memory", prototypes.astype(np.float32), extras(module, relations), SCALE
    )
    whole = rule.scores(unit)
    monkeypatch.setattr(rules, "_ROWS", 3)
    np.testing.assert_allclose(rule.scores(unit), whole, atol=1e-6)


def test_the_rule_is_the_cosine_of_what_the_formula_refines(case):
    h, prototypes, relations, _, module = case
    unit = (h / np.linalg.norm(h, axis=1, keepdims=True)).astype(np.float32)
    rule = make_rule(
        "attention-memory", prototypes.astype(np.float32), extras(module, relations), SCALE
    )
    scores = rule.scores(unit)
    assert scores.shape == (4, 3) and scores.dtype == np.float32
    for row, found, shares in zip(h, scores, rule.probabilities(scores), strict=True):
        refined = oracle.attention_memory(row, prototypes, weights(module))
        wanted = [formula.cosine(refined, e) for e in relations]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        exponentials = [math.exp(SCALE * c) for c in wanted]
        np.testing.assert_allclose(shares, np.divide(exponentials, sum(exponentials)), atol=1e-4)
    assert rule.scores(unit[:0]).shape == (0, 3)
    alone = np.concatenate([rule.scores(row[None]) for row in unit])
    np.testing.assert_allclose(alone, scores, atol=1e-6)


def test_tensors_that_do_not_fit_together_are_a_state_error(case):
    _, prototypes, relations, _, module = case
    given = extras(module, relations)
    rows = prototypes.astype(np.float32)
    for name, message in (
        ("attention.key", "does not fit together"),
        ("attention.relations", "has the shape"),
        ("attention.query", "has the shape"),
    ):
        with pytest.raises(StateError, match=message):
            make_rule("attention-memory", rows, {**given, name: given[name][..., :-1]}, 1.0)
    lacking = {k: v for k, v in given.items() if k != "attention.feed.weight"}
    with pytest.raises(StateError, match=r"feed\.weight"):
        make_rule("attention-memory", rows, lacking, 1.0)
