"""A batch in parts is the batch: shares, weights, dropout masks, losses that look at one row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cfcre.errors import ConfigurationError
from cfcre.modeling.dropout import ByteDropout, part_of_batch
from cfcre.modeling.losses import (
    contrastive_loss,
    focal_loss,
    new_relation_loss,
    reconsolidation_loss,
    replay_loss,
)
from cfcre.modeling.parallel import ALONE, Group, current_group, local_place, process_group

LOSSES = {
    "L_new": lambda h, e, y: new_relation_loss(h, e, y, scale=20.0),
    "L_cl": lambda h, e, y: contrastive_loss(h, e, y, tau=0.1),
    "L_rp": lambda h, e, y: replay_loss(h, e, y, scale=20.0),
    "L_fl": lambda h, e, y: focal_loss(h, e, y, alpha=0.3, scale=20.0),
    "L_rs": lambda h, e, y: reconsolidation_loss(h, e, y, scale=20.0),
}


@given(st.integers(1, 70), st.integers(1, 9))
def test_shares_divide_a_batch(whole, size):
    shares = [Group(rank, size).share(whole) for rank in range(size)]
    rows = [list(range(whole))[s.rows] for s in shares]
    assert sorted(r for s, own in zip(shares, rows, strict=True) for r in own[: s.count]) == list(
        range(whole)
    )
    assert all(len(own) == max(s.count, 1) for s, own in zip(shares, rows, strict=True))
    assert max(s.count for s in shares) - min(s.count for s in shares) <= 1
    assert sum(s.log_weight for s in shares) == pytest.approx(1)
    assert sum(s.loss_weight for s in shares) == pytest.approx(size)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("whole", "size"), [(19, 2), (7, 3), (2, 4)])
def test_the_average_of_weighted_gradients_is_the_gradient_of_the_batch(name, whole, size):
    """Would fail for a loss that compares the examples of a batch with each other."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(whole, 8, dtype=torch.float64, generator=generator).requires_grad_()
    anchors = torch.randn(5, 8, dtype=torch.float64, generator=generator).requires_grad_()
    y = torch.randint(5, (whole,), generator=generator)
    loss = LOSSES[name]
    value = loss(h, anchors, y)
    expected = torch.autograd.grad(value, [h, anchors])
    told, averaged = 0.0, [torch.zeros_like(h), torch.zeros_like(anchors)]
    for rank in range(size):
        share = Group(rank, size).share(whole)
        part = loss(h[share.rows], anchors, y[share.rows])
        told += float(part.detach()) * share.log_weight
        for total, gradient in zip(
            averaged, torch.autograd.grad(part * share.loss_weight, [h, anchors]), strict=True
        ):
            total += gradient / size
    assert told == pytest.approx(float(value.detach()), abs=1e-12)
    for found, wanted in zip(averaged, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@given(st.integers(1, 24), st.integers(1, 5), st.integers(0, 3))
def test_masks_of_the_parts_are_the_mask_of_the_batch(whole, size, seed):
    layer, values = ByteDropout(0.3), torch.ones(whole, 5, 7)

    def masked(rows, part):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if part is None:
                first, second = layer(values), layer(values)
            else:
                with part_of_batch(rows, whole):
                    first, second = layer(values[rows]), layer(values[rows])
            return torch.stack([first, second]), torch.rand(1)

    expected, after = masked(slice(None), None)
    for rank in range(size):
        share = Group(rank, size).share(whole)
        found, after_part = masked(share.rows, share)
        assert torch.equal(found, expected[:, share.rows])
        assert torch.equal(after, after_part), "the generator must stand where one process's does"


def test_one_process_exchanges_nothing():
    module = torch.nn.Linear(2, 2)
    assert current_group() is ALONE and local_place({"LOCAL_RANK": "3"}) == (0, 1)
    assert ALONE.wrap(module, torch.device("cpu")) is module
    ALONE.wait()
    ALONE.check_same(b"x", "jobs")
    ALONE.check_replicas([torch.zeros(1)])


def test_a_group_needs_torchrun():
    with (
        pytest.raises(ConfigurationError, match="torchrun"),
        process_group(1, cuda=False, environ={}),
    ):
        pass


def test_torchrun_with_one_process_is_one_process():
    with process_group(1, cuda=False, environ={"RANK": "0", "WORLD_SIZE": "1"}) as group:
        assert group is ALONE
