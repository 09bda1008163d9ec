"""What runs share gives what each would have alone; a step asks nothing of the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cfcre.benchmarking.learners import Learners
from cfcre.benchmarking.tokenising import CachingTokenizer
from cfcre.config import load_settings
from cfcre.data.tokenisation import load_tokenizer
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("ids", "offsets", "head", "tail", "windowed")
    )


def test_cached_word_pieces_are_the_tokenizers(tiny_encoder, relation_rows):
    rows = relation_rows(["owns", "wrote"], 20)
    plain, cached = (
        load_tokenizer(str(tiny_encoder)),
        CachingTokenizer.of_encoder(str(tiny_encoder)),
    )
    picks = [rows[:7], rows[5:30], [rows[3], rows[3], rows[39]], rows[::-1], []]
    for _ in range(2):
        for pick in picks:
            for length in (64, 20):
                assert same(cached.encode(pick, length), plain.encode(pick, length))
    # Each sentence once for each of the two lengths, however often it was asked for.
    assert cached.tokenised == 2 * 40


def test_the_cache_is_bounded(tiny_encoder, relation_rows, monkeypatch):
    monkeypatch.setattr("cfcre.benchmarking.tokenising._MAX_ROWS", 25)
    rows = relation_rows(["owns"], 40)
    plain, cached = (
        load_tokenizer(str(tiny_encoder)),
        CachingTokenizer.of_encoder(str(tiny_encoder)),
    )
    for start in range(0, 40, 10):
        part = rows[start : start + 10]
        assert same(cached.encode(part, 64), plain.encode(part, 64))
    assert same(cached.encode(rows, 64), plain.encode(rows, 64))


def test_a_copied_learner_is_a_fresh_one(tiny_settings):
    learners = Learners()
    first = learners.fresh(tiny_settings)
    with torch.no_grad():
        for tensor in first.tensors():
            tensor.add_(1)
    # Another method's settings and another seed share the encoder's weights and nothing else.
    other = load_settings(
        home=tiny_settings.home,
        base=tiny_settings.portable(),
        overrides={"method.projection_size": 24, "seed": 5},
        environ={},
    )
    for settings in (tiny_settings, other):
        alone, second = LearnerState.fresh(settings), learners.fresh(settings)
        assert all(map(torch.equal, second.tensors(), alone.tensors()))
    assert second.tokenizer is first.tokenizer
    assert second.catalogue == [] and second.catalogue is not first.catalogue


class Reads(TorchDispatchMode):
    """Counts what makes a GPU finish its work first: reading a value, sizes that depend on one."""

    names = ("_local_scalar_dense", "nonzero", "masked_select", "item")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in self.names:
            self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", ["cf-cre", "finetune"])
def test_no_step_reads_a_value_from_the_device(method, tiny_settings, relation_rows):
    counts = []
    for epochs in (1, 4):
        settings = load_settings(
            home=tiny_settings.home,
            base=tiny_settings.portable(),
            overrides={"method.name": method, "method.epoch1": epochs, "method.iter1": epochs},
            environ={},
        )
        state = LearnerState.fresh(settings)
        # What is used on a GPU.
        state.encoder.transformer.set_attn_implementation("sdpa")
        with Reads() as reads:
            facts = learn_task(
                state,
                relation_rows(["owns", "wrote"], 20),
                settings,
                {"batch": "b", "batch_name": "n"},
            )
        counts.append((reads.count, sum(f["steps"] for f in facts.values())))
    (few, steps), (many, more_steps) = counts
    assert more_steps > steps
    assert many == few


def test_the_reads_are_seen():
    with Reads() as reads:
        bool(torch.ones(2).all())
        torch.ones(3).nonzero()
    assert reads.count == 2


def test_both_kinds_of_attention_read_a_padded_batch_alike(tiny_settings):
    state = LearnerState.fresh(tiny_settings)
    state.encoder.eval()
    ids = torch.randint(9, 60, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(12)[None, :] < torch.tensor([12, 5, 8])[:, None]
    where = torch.tensor([1, 0, 2]), torch.tensor([4, 3, 6])
    with torch.inference_mode():
        eager = state.encoder(ids, mask, *where)
        state.encoder.transformer.set_attn_implementation("sdpa")
        torch.testing.assert_close(state.encoder(ids, mask, *where), eager, rtol=1e-4, atol=1e-5)
        # Padding is not read: other ids there change nothing.
        other = torch.where(mask, ids, 7)
        torch.testing.assert_close(state.encoder(other, mask, *where), eager, rtol=1e-4, atol=1e-5)
