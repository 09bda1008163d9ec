"""Eq. 3, 4, 12 and 13, and K-means memory, against literal formulas and brute force."""

from __future__ import annotations

import numpy as np
import numpy_formulas as formula
import pytest
import torch

from cfcre.modeling.memory import select_exemplars
from cfcre.modeling.prediction import probabilities, rank_relations
from cfcre.modeling.projection import Projection
from cfcre.modeling.prototypes import class_means, prediction_prototypes


def test_class_means_match_eq_3():
    generator = np.random.default_rng(0)
    h, labels = generator.normal(size=(20, 6)), np.r_[np.arange(4), generator.integers(0, 4, 16)]
    means = class_means(torch.tensor(h), torch.tensor(labels), 4).numpy()
    for relation in range(4):
        np.testing.assert_allclose(
            means[relation], formula.prototype(h, labels, relation), atol=1e-12
        )


def test_relation_without_examples_has_a_zero_mean_not_nan():
    means = class_means(torch.ones(2, 3), torch.tensor([0, 0]), 2)
    assert means[1].tolist() == [0, 0, 0]


def test_prediction_prototype_of_weight_one_eleventh_is_emar_acas():
    """Ten unit memory vectors and one unit embedding, averaged, if the ten agree in direction."""
    memory = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0, 3.0]]), dim=-1)
    embedding = torch.tensor([[0.0, 5.0, 0.0]])
    unit = torch.nn.functional.normalize(embedding, dim=-1)
    expected = torch.nn.functional.normalize((10 * memory + unit) / 11, dim=-1)
    torch.testing.assert_close(prediction_prototypes(memory, embedding, 1 / 11), expected)
    torch.testing.assert_close(prediction_prototypes(7 * memory, embedding, 0.0), memory)


def test_projection_is_eq_4():
    layer = Projection(5, 4, 3, torch.Generator().manual_seed(1)).double()
    h = np.random.default_rng(0).normal(size=(7, 5))
    weights = [layer.first.weight, layer.first.bias, layer.second.weight, layer.second.bias]
    expected = formula.mlp(h, *(w.detach().numpy() for w in weights))
    np.testing.assert_allclose(layer(torch.tensor(h)).detach().numpy(), expected, atol=1e-12)


def test_projection_starts_the_same_from_the_same_generator():
    one, two = (Projection(5, 4, 3, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_ranking_is_brute_force_and_ties_go_to_the_older_relation():
    similarities = np.array([[0.1, 0.9, 0.9, -0.2], [0.3, 0.3, 0.3, 0.3]], dtype=np.float32)
    assert rank_relations(similarities, 4).tolist() == [[1, 2, 0, 3], [0, 1, 2, 3]]
    assert rank_relations(similarities, 1).tolist() == [[1], [0]]
    assert rank_relations(similarities, 9).shape == (2, 4)


def test_probabilities_are_a_softmax_that_does_not_overflow():
    p = probabilities(np.array([[1.0, -1.0, 0.0]], dtype=np.float32), 1000.0)
    assert p.sum() == pytest.approx(1) and p[0, 0] == pytest.approx(1)
    q = probabilities(np.array([[0.5, 0.1]], dtype=np.float32), 3.0)
    assert q[0, 0] == pytest.approx(1 / (1 + np.exp(-1.2)), rel=1e-6)


def test_exemplars_cover_separate_clusters():
    generator = np.random.default_rng(0)
    centres = np.eye(4) * 10
    rows = np.concatenate([c + generator.normal(scale=0.05, size=(15, 4)) for c in centres])
    chosen = select_exemplars(rows.astype(np.float32), 4, seed=0)
    assert sorted(i // 15 for i in chosen) == [0, 1, 2, 3]
    # Nearest to its cluster's mean, checked by brute force on unit vectors.
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for i in chosen:
        cluster = unit[15 * (i // 15) : 15 * (i // 15) + 15]
        distances = np.linalg.norm(cluster - cluster.mean(axis=0), axis=1)
        assert distances[i % 15] == pytest.approx(distances.min(), abs=1e-6)


def test_exemplars_are_distinct_even_if_all_rows_are_equal():
    chosen = select_exemplars(np.ones((12, 3), dtype=np.float32), 10, seed=0)
    assert len(set(chosen.tolist())) == 10


def test_fewer_rows_than_memory_keeps_all():
    assert select_exemplars(np.ones((3, 2), dtype=np.float32), 10, seed=0).tolist() == [0, 1, 2]
