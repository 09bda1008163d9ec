"""Paired intervals, scores and counts of work, against other people's code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from cfcre.benchmarking.dataset import BenchmarkTask
from cfcre.benchmarking.scoring import macro_accuracy, micro_accuracy, score, similar_accuracy
from cfcre.benchmarking.statistics import deviation, paired_interval
from cfcre.benchmarking.work import WorkCounter, forward_flops
from cfcre.modeling.encoder import load_transformer


@pytest.mark.parametrize("count", [2, 3, 5, 17])
def test_paired_interval_is_scipys(count):
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(70, 2, count), rng.normal(69, 2, count)
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    got = paired_interval(list(ours - theirs))
    assert got.count == count
    assert (got.mean, got.low, got.high, got.p) == pytest.approx(
        (float(np.mean(ours - theirs)), interval.low, interval.high, expected.pvalue)
    )
    assert got.excludes_zero == (expected.pvalue < 0.05)


def test_too_few_orders_are_not_computed():
    one = paired_interval([1.5])
    assert (one.count, one.mean, one.low, one.high, one.p) == (1, 1.5, None, None, None)
    assert paired_interval([]).mean is None
    assert not one.excludes_zero
    same = paired_interval([2.0, 2.0])
    assert (same.low, same.high, same.p) == (2.0, 2.0, None)
    assert deviation([1.0]) is None


class Fixed:
    """Answers what it is told to, with prototypes at given angles."""

    relations = ("a", "b", "c")

    def __init__(self, answers):
        self._answers = answers
        angles = np.radians([0, 20, 100])  # cosines: 0.94, 0.17, -0.17
        self.prototypes = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def predict_best(self, examples):
        return self._answers[: len(examples)]


def test_scores_by_hand(relation_rows):
    from dataclasses import replace

    rows = relation_rows(["owns"], 7)
    held = [replace(e, relation=r) for e, r in zip(rows, "aaabbcc", strict=True)]
    tasks = [
        BenchmarkTask(1, ("a",), (), tuple(held[:3])),
        BenchmarkTask(2, ("b", "c"), (), tuple(held[3:])),
    ]
    scores = score(Fixed(["a", "a", "b", "b", "a", "c", "c"]), tasks)
    assert (scores["right"], scores["rows"]) == ([2, 3], [3, 4])
    assert micro_accuracy(scores) == 5 / 7
    assert macro_accuracy(scores) == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert {r: v[:2] for r, v in scores["relations"].items()} == {
        "a": [2, 3],
        "b": [1, 2],
        "c": [2, 2],
    }
    # a and b are similar to each other, c to none.
    assert similar_accuracy(scores) == (3 / 5, 2)
    nobody = {"relations": {r: [0, 1, 0.5] for r in "abc"}}
    assert similar_accuracy(scores, nobody) == (None, 0)


def test_operations_are_those_that_torch_counts(tiny_encoder):
    transformer = load_transformer(tiny_encoder, attention="eager", hidden_dropout=0.1)
    ids = torch.ones(3, 11, dtype=torch.long)
    counter = WorkCounter(transformer)
    with FlopCounterMode(display=False) as torchs, torch.no_grad():
        transformer(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert counter.take() == {
        "training_flops": 0,
        "inference_flops": torchs.get_total_flops(),
        "steps": 0,
    }
    assert torchs.get_total_flops() == forward_flops(transformer.config, 3, 11)
    transformer.requires_grad_(True)
    with FlopCounterMode(display=False) as torchs:
        out = transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        out.sum().backward()
    counted = counter.take()
    assert counted["steps"] == 1
    # A backward pass is two forward passes of matrix products.
    assert counted["training_flops"] == pytest.approx(torchs.get_total_flops(), rel=0.02)
    counter.close()
    transformer(input_ids=ids)
    assert counter.take()["steps"] == 0
