"""The two speed-ups change nothing but speed: compact vocabulary and byte dropout."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from cfcre.methods.base import Session
from cfcre.methods.state import LearnerState
from cfcre.methods.training import make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.dropout import ByteDropout, replace_dropout


def train(state, rows, settings, compact):
    session = Session(settings, 1, 1)
    encoded = session.encode(state, rows)
    optimizer_settings = settings.method.model_copy(update={"weight_decay": 0.0})
    with (
        torch.random.fork_rng(),
        compact_vocabulary(state.encoder, encoded) if compact else nullcontext(encoded) as mapped,
    ):
        torch.manual_seed(0)
        train_epoch(
            phase="train_task",
            encoder=state.encoder,
            optimizer=make_optimizer(state.encoder, [], optimizer_settings),
            encoded=mapped,
            labels=torch.arange(len(rows)) % 2,
            loss=lambda h, y: {"loss": ((h[:, 0] - y) ** 2).mean()},
            settings=optimizer_settings,
            compute=session.compute,
            generator=session.generator,
            log=session.log,
            progress=session.progress,
        )
    return state


def test_compact_vocabulary_trains_the_same_weights_as_the_full_table(tiny_settings, relation_rows):
    rows = relation_rows(["owns", "wrote"], 40)
    full = train(LearnerState.fresh(tiny_settings), rows, tiny_settings, compact=False)
    small = train(LearnerState.fresh(tiny_settings), rows, tiny_settings, compact=True)
    before = LearnerState.fresh(tiny_settings)
    table = "transformer.embeddings.word_embeddings.weight"
    assert not torch.equal(before.encoder.state_dict()[table], small.encoder.state_dict()[table]), (
        "the table must be trained, not only swapped"
    )
    for name, value in full.encoder.state_dict().items():
        torch.testing.assert_close(small.encoder.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_table_comes_back_after_an_error(tiny_settings, relation_rows):
    state = LearnerState.fresh(tiny_settings)
    before = copy.deepcopy(state.encoder.state_dict())
    encoded = Session(tiny_settings, 1, 1).encode(state, relation_rows(["owns"], 3))
    with pytest.raises(KeyError), compact_vocabulary(state.encoder, encoded):
        raise KeyError
    for name, value in before.items():
        assert torch.equal(state.encoder.state_dict()[name], value)


def test_byte_dropout_has_the_rate_and_keeps_the_mean():
    layer = ByteDropout(0.1)
    values = torch.ones(1_000_000)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = layer(values)
    share = (dropped == 0).double().mean().item()
    # Three standard errors of a binomial draw of a million.
    assert abs(share - 26 / 256) < 3 * (0.1 * 0.9 / 1e6) ** 0.5
    assert dropped.mean().item() == pytest.approx(1, abs=2e-3)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 1 / (1 - 26 / 256)])


def test_byte_dropout_bytes_are_unbiased_in_every_position():
    """All eight bytes of a draw are used; a missing sign bit would show in one of them."""
    layer = ByteDropout(0.5)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kept = (layer(torch.ones(800_000)) > 0).view(-1, 8).double().mean(dim=0)
    assert kept.sub(0.5).abs().max().item() < 4 * (0.25 / 1e5) ** 0.5


def test_byte_dropout_is_seeded_and_off_in_evaluation():
    layer, values = ByteDropout(0.3), torch.randn(50, 7)
    results = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            results.append(layer(values))
    assert torch.equal(*results)
    assert torch.equal(layer.eval()(values), values)
    with pytest.raises(ValueError):
        ByteDropout(1.0)


def test_every_dropout_of_a_network_is_replaced():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.4)))
    replace_dropout(network)
    assert [type(m).__name__ for m in network.modules()].count("ByteDropout") == 2
    assert not any(isinstance(m, nn.Dropout) for m in network.modules())
