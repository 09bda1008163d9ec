"""CRL's and CEAR's losses and prediction against their formulas in NumPy."""

from __future__ import annotations

import distillation_formulas as formula
import numpy as np
import pytest
import torch
from numpy_formulas import central_difference, mlp

from cfcre.modeling.blended import Blended, blended_tensors, layer_length
from cfcre.modeling.losses import (
    focal_distillation_loss,
    focal_weights,
    margin_loss,
    similarity_distillation_loss,
    supervised_contrastive_loss,
)
from cfcre.modeling.projection import Projection

TAU, GAMMA, OLD = 0.2, 1.25, 3


class Case:
    """Random arguments of all losses: 6 examples, 5 relations of which 3 are old."""

    def __init__(self, seed):
        g = np.random.default_rng(seed)
        self.z = g.normal(size=(6, 4))
        self.labels = g.integers(0, 5, 6)
        self.labels[:2] = [1, 4]  # one old and one new relation at least
        self.prototypes = g.normal(size=(5, 4))
        self.bank = g.normal(size=(11, 4))
        self.bank_labels = np.concatenate([np.arange(5), g.integers(0, 5, 6)])
        self.logits, self.before = g.normal(size=(6, 5)), 2 * g.normal(size=(6, OLD))
        self.similarities = g.uniform(-1, 1, size=(6, OLD))
        rows = self.prototypes[:OLD] / np.linalg.norm(self.prototypes[:OLD], axis=1, keepdims=True)
        self.cosines = rows @ rows.T


@pytest.fixture(params=[0, 1, 2])
def case(request):
    return Case(request.param)


def tensor(array):
    return torch.tensor(array, dtype=torch.long if array.dtype.kind == "i" else torch.float64)


def check(loss, oracle, x):
    """Value and gradient at x, an array."""
    variable = torch.tensor(x, requires_grad=True)
    value = loss(variable)
    assert value.item() == pytest.approx(oracle(x), rel=1e-10)
    value.backward()
    expected = central_difference(oracle, x)
    assert np.abs(expected).max() > 1e-3, "the case says nothing about the gradient"
    np.testing.assert_allclose(variable.grad.numpy(), expected, atol=1e-7)


def test_supervised_contrastive_loss(case):
    check(
        lambda z: supervised_contrastive_loss(
            z, tensor(case.labels), tensor(case.bank), tensor(case.bank_labels), tau=TAU
        ),
        lambda z: formula.supervised_contrastive(z, case.labels, case.bank, case.bank_labels, TAU),
        case.z,
    )


def test_similarity_distillation_loss(case):
    check(
        lambda z: similarity_distillation_loss(
            z, tensor(case.labels), tensor(case.prototypes[:OLD]), tensor(case.cosines), tau=TAU
        ),
        lambda z: formula.similarity_distillation(
            z, case.labels, case.prototypes[:OLD], case.cosines, TAU
        ),
        case.z,
    )


def test_similarity_distillation_asks_nothing_of_new_relations(case):
    z = torch.tensor(case.z, requires_grad=True)
    new = torch.full((6,), OLD)
    loss = similarity_distillation_loss(
        z, new, tensor(case.prototypes[:OLD]), tensor(case.cosines), tau=TAU
    )
    loss.backward()
    assert loss.item() == 0 and not z.grad.any()


def test_similarity_distillation_is_zero_where_nothing_changed(case):
    """An example that stands where its relation's prototype stood has nothing to make up for."""
    old = tensor(case.prototypes[:OLD])
    loss = similarity_distillation_loss(
        old.clone(), torch.arange(OLD), old, tensor(case.cosines), tau=TAU
    )
    assert loss.item() == pytest.approx(0, abs=1e-12)


def oracle_weights(case, logits):
    return [
        formula.focal_weight(logits[i], case.similarities[i], case.labels[i], GAMMA, TAU)
        for i in range(len(logits))
    ]


def test_focal_weights(case):
    weights = focal_weights(
        tensor(case.logits), tensor(case.similarities), tensor(case.labels), gamma=GAMMA, tau=TAU
    )
    np.testing.assert_allclose(weights.numpy(), oracle_weights(case, case.logits), rtol=1e-10)


def test_focal_distillation_loss(case):
    # The weights are constants of the step, so the oracle's are those of the point itself.
    weights = oracle_weights(case, case.logits)
    check(
        lambda logits: focal_distillation_loss(
            logits,
            tensor(case.before),
            tensor(case.similarities),
            tensor(case.labels),
            gamma=GAMMA,
            tau=TAU,
        ),
        lambda logits: formula.focal_distillation(logits, case.before, weights),
        case.logits,
    )


@pytest.mark.parametrize(("relations", "size"), [(5, 3), (3, 7), (12, 4)])
def test_the_old_relations_are_counted_by_relation_not_by_feature_size(relations, size):
    """Public code slices the prototypes by the feature size; here neither size can be mistaken."""
    g = np.random.default_rng(3)
    z, anchors = tensor(g.normal(size=(4, size))), tensor(g.normal(size=(relations, size)))
    old = relations - 2
    logits = torch.nn.functional.normalize(z) @ torch.nn.functional.normalize(anchors).T
    before, labels = tensor(g.normal(size=(4, old))), tensor(g.integers(0, relations, 4))
    loss = focal_distillation_loss(logits, before, logits[:, :old], labels, gamma=0.0, tau=TAU)
    weights = [formula.focal_weight(r, r[:old], 0, 0.0, TAU) for r in logits.numpy()]
    expected = formula.focal_distillation(logits.numpy(), before.numpy(), weights)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("m", [0.1, 2.5])
def test_margin_loss(case, m):
    for by_example in (True, False):
        check(
            lambda x, e=by_example: margin_loss(
                x if e else tensor(case.z),
                tensor(case.prototypes) if e else x,
                tensor(case.labels),
                margin=m,
            ),
            lambda x, e=by_example: formula.margin(
                x if e else case.z, case.prototypes if e else x, case.labels, m
            ),
            case.z if by_example else case.prototypes,
        )


def test_margin_loss_of_one_relation_is_zero_with_a_finite_gradient():
    z = torch.ones(2, 3, requires_grad=True)
    loss = margin_loss(z, torch.ones(1, 3), torch.zeros(2, dtype=torch.long), margin=0.1)
    loss.backward()
    assert loss.item() == 0 and not z.grad.any()


def test_blended_prediction_matches_the_formula():
    g = np.random.default_rng(5)
    projection = Projection(6, 8, 3, torch.Generator().manual_seed(1))
    torch.nn.init.normal_(
        projection.first.bias, std=0.3, generator=torch.Generator().manual_seed(2)
    )
    classifier, prototypes, h = (g.normal(size=(n, 6)).astype(np.float32) for n in (4, 4, 9))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    tensors = blended_tensors(
        classifier=torch.from_numpy(classifier),
        projection=projection,
        prototypes=torch.from_numpy(prototypes),
        alpha=0.3,
        tau=TAU,
    )
    layers = tuple(
        tensors[f"blended.{n}"].numpy()
        for n in ("first.weight", "first.bias", "second.weight", "second.bias")
    )
    long = prototypes * np.sqrt(6)
    np.testing.assert_allclose(layer_length(torch.from_numpy(prototypes)), long, rtol=1e-5)
    anchors = mlp(long, *layers)
    np.testing.assert_allclose(tensors["blended.anchors"], anchors, rtol=1e-4, atol=1e-6)
    rule = Blended(
        classifier, layers, tensors["blended.anchors"].numpy(), alpha=0.3, scale=5.0, tau=TAU
    )
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    scores = rule.scores(unit)
    expected = formula.blended(h, classifier, layers, anchors, 0.3, 5.0, TAU)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    np.testing.assert_allclose(rule.probabilities(scores).sum(axis=1), 1, rtol=1e-5)
    assert rule.scores(unit[:0]).shape == (0, 4)


@pytest.mark.parametrize(("alpha", "best"), [(1.0, 0), (0.0, 1)])
def test_alpha_chooses_between_classifier_and_prototypes(alpha, best):
    """One side says relation 0, the other relation 1."""
    eye = np.eye(2, dtype=np.float32)
    zeros = np.zeros(2, dtype=np.float32)
    rule = Blended(eye, (eye, zeros, eye, zeros), eye[::-1], alpha=alpha, scale=10.0, tau=0.1)
    assert rule.scores(eye[:1]).argmax() == best
