"""Exact maxima by running maximum and sparse table; losses term by term."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.spans.enumeration import SpanGrid
from cfcre.spans.losses import entity_loss, relation_loss, span_log_probabilities
from cfcre.spans.pooling import pool_spans, pool_words
from cfcre.spans.range_maxima import RangeMaxima

QUICK = settings(max_examples=40, deadline=None)


@QUICK
@given(rows=st.integers(1, 40), longest=st.integers(1, 60), seed=st.integers(0, 999))
def test_range_maxima_and_their_gradients(rows, longest, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 3, generator=generator, requires_grad=True)
    start = torch.randint(0, rows, (30,), generator=generator)
    end = torch.minimum(
        start + torch.randint(-2, longest + 1, (30,), generator=generator), torch.tensor(rows)
    )
    weights = torch.randn(30, 3, generator=generator)
    found = RangeMaxima(values, longest).query(start, end)
    expected = torch.stack(
        [
            values[s:e].max(dim=0).values if s < e else torch.zeros(3)
            for s, e in zip(start.tolist(), end.tolist(), strict=True)
        ]
    )
    assert torch.equal(found, expected)
    ours = torch.autograd.grad((found * weights).sum(), values, allow_unused=True)[0]
    if bool((start < end).any()):
        theirs = torch.autograd.grad((expected * weights).sum(), values)[0]
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("length", [2**k + d for k in range(1, 11) for d in (-1, 0, 1)])
def test_every_length_around_a_power_of_two(length):
    values = torch.arange(float(length))[:, None]
    maxima = RangeMaxima(values, length)
    found = maxima.query(torch.tensor([0, 0]), torch.tensor([length, max(length - 1, 1)]))
    assert found[:, 0].tolist() == [length - 1, max(length - 2, 0)]


@QUICK
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    width=st.integers(1, 12),
    seed=st.integers(0, 999),
)
def test_pooled_spans_are_the_maxima_of_their_words(lengths, width, seed):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    grid = SpanGrid(offsets, width)
    words = torch.randn(grid.words, 4, generator=torch.Generator().manual_seed(seed))
    expected = [
        (d, i, i + w)
        for d, count in enumerate(lengths)
        for w in range(1, width + 1)
        for i in range(count - w + 1)
    ]
    document, start, end = grid.spans(grid.places)
    assert list(zip(document.tolist(), start.tolist(), end.tolist(), strict=True)) == expected
    assert np.array_equal(grid.place(document, start, end), grid.places)
    assert grid.inside.sum() == len(expected)
    if grid.words:
        pooled = pool_spans(words, grid.widths).flatten(0, 1)
        for place, (d, i, j) in zip(grid.places.tolist(), expected, strict=True):
            first = int(offsets[d])
            assert torch.equal(pooled[place], words[first + i : first + j].max(dim=0).values)


def test_words_are_the_maxima_of_their_pieces():
    pieces = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    bounds = [(0, 1), (1, 4), (4, 9), (5, 7)]
    start, end = (torch.tensor(x) for x in zip(*bounds, strict=True))
    found = pool_words(pieces, start, end, 5)
    assert torch.equal(found, torch.stack([pieces[s:e].max(dim=0).values for s, e in bounds]))


def test_memory_does_not_grow_with_spans_times_length():
    """200 words, all spans: the largest tensor that is made has W × N × H values, not S × L × H."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, tuple | list) else [result]:
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return result

    words = torch.randn(200, 8, requires_grad=True)
    with Watch():
        pool_spans(words, 10).sum().backward()
        maxima = RangeMaxima(words, 200)
        maxima.query(torch.zeros(50, dtype=torch.long), torch.arange(150, 200)).sum().backward()
    assert largest <= 10 * 200 * 8


class TestEntityLoss:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]])
    labels = torch.tensor([0, 2])

    def probability(self, row: int, temperature: float) -> float:
        values = [math.exp(x / temperature) for x in self.logits[row].tolist()]
        return values[int(self.labels[row])] / sum(values)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    @pytest.mark.parametrize("epsilon", [(), (1.0,), (2.0, -0.5, 0.25)])
    def test_is_the_formula(self, temperature, epsilon):
        expected = 0.0
        for row in (0, 1):
            p = self.probability(row, temperature)
            expected -= math.log(p)
            expected += sum(e * (1 - p) ** j for j, e in enumerate(epsilon, start=1))
        found = entity_loss(self.logits, self.labels, temperature=temperature, epsilon=epsilon)
        assert float(found) == pytest.approx(expected, rel=1e-5)

    def test_without_epsilon_it_is_the_cross_entropy(self):
        found = entity_loss(self.logits, self.labels, temperature=1.0, epsilon=())
        expected = torch.nn.functional.cross_entropy(self.logits, self.labels, reduction="sum")
        torch.testing.assert_close(found, expected)

    def test_gradient(self):
        logits = self.logits.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: entity_loss(x, self.labels, temperature=2.0, epsilon=(1.0, 0.5)), (logits,)
        )

    def test_temperature_keeps_the_order_and_flattens(self):
        sharp = span_log_probabilities(self.logits, 0.5).exp()
        flat = span_log_probabilities(self.logits, 5.0).exp()
        assert torch.equal(sharp.argmax(1), flat.argmax(1))
        assert (sharp.max(1).values > flat.max(1).values).all()


def test_relation_loss_asks_about_each_type_by_itself():
    logits = torch.tensor([[1.0, -2.0], [0.0, 3.0], [-1.0, -1.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    expected = 0.0
    for row, wanted in zip(logits.tolist(), targets.tolist(), strict=True):
        for x, y in zip(row, wanted, strict=True):
            p = 1 / (1 + math.exp(-x))
            expected -= (y * math.log(p) + (1 - y) * math.log(1 - p)) / 2
    assert float(relation_loss(logits, targets)) == pytest.approx(expected, rel=1e-5)
