"""Every row once, within the budget, padded as a plain loop would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcre.data.batching import inference_batches, pad_batch, training_batches
from cfcre.data.tokenisation import EncodedExamples

lengths_strategy = st.lists(st.integers(1, 60), min_size=1, max_size=200).map(np.array)


def encoded_of(lengths):
    offsets = np.r_[0, np.cumsum(lengths)]
    ids = np.arange(offsets[-1]) + 100
    zeros = np.zeros(len(lengths), dtype=np.int64)
    return EncodedExamples(ids, offsets, zeros, zeros, zeros.astype(bool), 0)


@given(lengths_strategy, st.integers(60, 500))
def test_inference_batches_hold_every_row_once_within_the_budget(lengths, budget):
    batches = inference_batches(lengths, budget)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(b) * lengths[b].max() <= budget for b in batches)


def test_a_row_longer_than_the_budget_is_alone():
    batches = inference_batches(np.array([3, 900, 3]), 100)
    assert [b.tolist() for b in batches] == [[0, 2], [1]]


@given(lengths_strategy, st.integers(1, 40), st.integers(0, 5))
def test_training_batches_are_a_permutation_with_at_most_one_short_batch(lengths, size, seed):
    batches = training_batches(lengths, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert sum(len(b) != size for b in batches) <= 1


def test_training_order_depends_on_the_generator_only():
    lengths = np.arange(1, 100)
    orders = [
        np.concatenate(training_batches(lengths, 8, np.random.default_rng(s))) for s in (1, 1, 2)
    ]
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()


@given(lengths_strategy)
def test_padding_is_what_a_loop_gives(lengths):
    encoded = encoded_of(lengths)
    index = np.arange(len(lengths))[::-1].copy()
    batch = pad_batch(encoded, index)
    longest = lengths.max()
    for row, i in enumerate(index):
        own = encoded.ids[encoded.offsets[i] : encoded.offsets[i + 1]].tolist()
        assert batch.ids[row].tolist() == own + [0] * (longest - len(own))
        assert batch.mask[row].tolist() == [True] * len(own) + [False] * (longest - len(own))


def test_sorted_groups_pad_less_than_a_plain_shuffle():
    generator = np.random.default_rng(0)
    lengths = generator.integers(5, 80, 2000)

    def padded(batches):
        return sum(len(b) * lengths[b].max() for b in batches)

    plain = [generator.permutation(2000)[i : i + 32] for i in range(0, 2000, 32)]
    ours = padded(training_batches(lengths, 32, np.random.default_rng(1)))
    assert ours < 0.75 * padded(plain)
    assert ours == pytest.approx(lengths.sum(), rel=0.2)
