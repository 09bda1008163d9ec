"""Each loss against its formula in NumPy: value, and gradient by finite differences."""

from __future__ import annotations

import numpy as np
import numpy_formulas as formula
import pytest
import torch

from cfcre.modeling.losses import (
    contrastive_loss,
    cosine_similarity,
    focal_loss,
    new_relation_loss,
    reconsolidation_loss,
    replay_loss,
    similar_prototype_set,
)

SCALE, TAU = 7.5, 0.2


@pytest.fixture(params=[0, 1, 2])
def case(request):
    """Representations [6, 5], anchors [4, 5] and labels [6] in float64."""
    generator = np.random.default_rng(request.param)
    return generator.normal(size=(6, 5)), generator.normal(size=(4, 5)), generator.integers(0, 4, 6)


def pair(name):
    """The loss and its formula, both as functions of (h, anchors, labels)."""
    softmax = lambda h, a, y: formula.softmax_loss(h, a, y, SCALE)  # noqa: E731
    return {
        "L_new": (lambda h, a, y: new_relation_loss(h, a, y, scale=SCALE), softmax),
        "L_rp": (lambda h, a, y: replay_loss(h, a, y, scale=SCALE), softmax),
        "L_rs": (lambda h, a, y: reconsolidation_loss(h, a, y, scale=SCALE), softmax),
        "L_cl": (
            lambda h, a, y: contrastive_loss(h, a, y, tau=TAU),
            lambda h, a, y: formula.info_nce(h, a, y, TAU),
        ),
        "L_fl": (
            lambda h, a, y: focal_loss(h, a, y, alpha=0.3, scale=SCALE),
            lambda h, a, y: formula.focal(h, a, y, 0.3, SCALE),
        ),
    }[name]


@pytest.mark.parametrize("name", ["L_new", "L_rp", "L_rs", "L_cl", "L_fl"])
def test_value_and_gradient_match_the_formula(name, case):
    h, anchors, labels = case
    loss, oracle = pair(name)
    h_t = torch.tensor(h, requires_grad=True)
    a_t = torch.tensor(anchors, requires_grad=True)
    value = loss(h_t, a_t, torch.tensor(labels))
    assert value.item() == pytest.approx(oracle(h, anchors, labels), rel=1e-10)
    value.backward()
    by_h = formula.central_difference(lambda x: oracle(x, anchors, labels), h)
    by_anchor = formula.central_difference(lambda x: oracle(h, x, labels), anchors)
    np.testing.assert_allclose(h_t.grad.numpy(), by_h, atol=1e-7)
    np.testing.assert_allclose(a_t.grad.numpy(), by_anchor, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 2.5])
def test_similar_prototype_set_matches_eq_8(alpha, case):
    h, anchors, labels = case
    cosines = cosine_similarity(torch.tensor(h), torch.tensor(anchors))
    members = similar_prototype_set(cosines, torch.tensor(labels), alpha)
    for i, row in enumerate(members.numpy()):
        expected = formula.similar_set(h[i], anchors, labels[i], alpha)
        assert set(np.flatnonzero(row)) == expected


def test_focal_loss_over_all_prototypes_is_the_full_cross_entropy(case):
    h, anchors, labels = (torch.tensor(x) for x in case)
    wide = focal_loss(h, anchors, labels, alpha=2.5, scale=SCALE)
    assert wide.item() == pytest.approx(
        reconsolidation_loss(h, anchors, labels, scale=SCALE).item(), rel=1e-12
    )


def test_focal_loss_with_one_relation_is_zero():
    h, p = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1, 4)
    assert focal_loss(h, p, torch.zeros(3, dtype=torch.long), alpha=0.3, scale=SCALE).item() == 0


def test_scale_one_is_bounded_as_the_papers_formula_is():
    """With a bare cosine and 40 relations the true one gets at most 0.16 of the softmax."""
    anchors = torch.eye(40)
    anchors[1:] = -anchors[0]  # the best case: the true one at 1, all others at -1
    loss = new_relation_loss(anchors[:1], anchors, torch.tensor([0]), scale=1.0)
    assert torch.exp(-loss).item() == pytest.approx(0.159, abs=1e-3)
    scaled = new_relation_loss(anchors[:1], anchors, torch.tensor([0]), scale=10.0)
    assert torch.exp(-scaled).item() > 0.999


def test_length_of_a_vector_does_not_matter(case):
    h, anchors, labels = (torch.tensor(x) for x in case)
    for name in ("L_new", "L_cl", "L_fl"):
        loss, _ = pair(name)
        assert loss(3 * h, anchors / 5, labels).item() == pytest.approx(
            loss(h, anchors, labels).item()
        )
