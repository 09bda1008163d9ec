"""Statistics added up task by task, against scikit-learn's discriminant analysis of all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cfcre.modeling.anchored import Anchored, anchor_layer
from cfcre.modeling.second_order import SecondOrder

SIZE, RELATIONS, EACH = 12, 5, 9


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated features of five relations, in order of arrival."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(SIZE, SIZE, generator=generator)
    labels = torch.arange(RELATIONS).repeat_interleave(EACH)
    centres = torch.randn(RELATIONS, SIZE, generator=generator)
    noise = torch.randn(len(labels), SIZE, generator=generator)
    return centres[labels] + noise @ mixing, labels


@pytest.mark.parametrize("shrinkage", [0.05, 0.3, 1.0])
def test_the_classifier_is_scikit_learns(
    data: tuple[torch.Tensor, torch.Tensor], shrinkage: float
) -> None:
    features, labels = data
    weight, bias = SecondOrder.empty(SIZE).add(features, labels, RELATIONS).classifier(shrinkage)
    oracle = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=shrinkage, priors=np.full(RELATIONS, 1 / RELATIONS)
    ).fit(features.double().numpy(), labels.numpy())
    # It divides the scatter by N where the unbiased covariance divides by N - R.
    factor = (len(labels) - RELATIONS) / len(labels)
    np.testing.assert_allclose(weight, factor * oracle.coef_, rtol=2e-4, atol=2e-5)
    expected = factor * (oracle.intercept_ - np.log(1 / RELATIONS))
    np.testing.assert_allclose(bias, expected, rtol=2e-4, atol=2e-5)


def test_parts_in_any_order_are_the_whole(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    """New relations, and more examples of known ones, one task after the other."""
    features, labels = data
    whole = SecondOrder.empty(SIZE).add(features, labels, RELATIONS)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    parts = SecondOrder.empty(SIZE)
    for rows in order.split(7):
        parts = parts.add(features[rows], labels[rows], RELATIONS)
    by_task = SecondOrder.empty(SIZE)
    for known in range(1, RELATIONS + 1):
        rows = (labels == known - 1).nonzero()[:, 0]
        by_task = by_task.add(features[rows], labels[rows], known)
    for other in (parts, by_task):
        assert torch.equal(other.counts, whole.counts)
        torch.testing.assert_close(other.means, whole.means, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other.scatter, whole.scatter, rtol=1e-4, atol=1e-3)


def test_the_literal_sums(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    features, labels = data
    found = SecondOrder.empty(SIZE).add(features, labels, RELATIONS)
    scatter = np.zeros((SIZE, SIZE))
    for relation in range(RELATIONS):
        rows = features[labels == relation].double().numpy()
        mean = rows.mean(axis=0)
        np.testing.assert_allclose(found.means[relation], mean, rtol=1e-5, atol=1e-6)
        for row in rows:
            scatter += np.outer(row - mean, row - mean)
    np.testing.assert_allclose(found.scatter, scatter, rtol=1e-5, atol=1e-4)


def test_one_example_a_relation_is_the_nearest_mean() -> None:
    """No scatter at all: the metric is the plain one."""
    means = torch.eye(3, 4)
    weight, bias = SecondOrder.empty(4).add(means, torch.arange(3), 3).classifier(0.5)
    scores = means @ weight.T + bias
    assert scores.argmax(dim=1).tolist() == [0, 1, 2] and bool(torch.isfinite(scores).all())


def test_the_rule_adds_both() -> None:
    rng = np.random.default_rng(0)
    prototypes = rng.normal(size=(3, 4)).astype(np.float32)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    weight, bias = rng.normal(size=(3, 16)).astype(np.float32), np.float32([0.1, -0.2, 0.3])
    rows = rng.normal(size=(5, 20)).astype(np.float32)
    rule = Anchored(prototypes, weight, bias, share=0.2, scale=20.0)
    for row, scores in zip(rows, rule.scores(rows), strict=True):
        exponentials = [np.exp(20.0 * float(row[:4] @ p)) for p in prototypes]
        expected = [
            np.log(e / sum(exponentials)) + 0.2 * (float(row[4:] @ w) + float(b))
            for e, w, b in zip(exponentials, weight, bias, strict=True)
        ]
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rule.probabilities(rule.scores(rows)).sum(axis=1), 1, rtol=1e-5)
    alone = Anchored(prototypes, weight, bias, share=0.0, scale=20.0).scores(rows)
    assert (alone.argmax(axis=1) == (rows[:, :4] @ prototypes.T).argmax(axis=1)).all()


def test_states_without_a_layer_have_no_features() -> None:
    assert anchor_layer({}) == 0
    assert anchor_layer({"anchor.layer": torch.tensor(3)}) == 3
