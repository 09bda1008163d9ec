"""Features of frozen layers: against a loop over words, and frozen through training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cfcre.config import load_settings
from cfcre.data.schema import RelationExample, Span
from cfcre.methods.features import extract
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task
from cfcre.modeling.anchor import anchor_features
from cfcre.modeling.compute import Compute


def row(text: str, head: str, tail: str, relation: str = "r") -> RelationExample:
    def span(part: str) -> Span:
        return Span(text.index(part), text.index(part) + len(part))

    return RelationExample(text, span(head), span(tail), relation)


def test_features_are_the_literal_means() -> None:
    states = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 9, [1] * 7 + [0] * 2])
    # The second sentence has its tail first, and nothing between its entities.
    head, tail = torch.tensor([[1, 3], [4, 6]]).T, torch.tensor([[5, 8], [1, 4]]).T
    found = anchor_features(states, mask, (head[0], head[1]), (tail[0], tail[1]))
    stretches = [
        [[2], [6, 7], range(9), [4]],
        [[5], [2, 3], range(7), []],
    ]
    for sentence, parts in enumerate(stretches):
        for number, words in enumerate(parts):
            mean = sum((states[sentence, w].numpy() for w in words), np.zeros(3))
            length = np.linalg.norm(mean)
            expected = mean / length if length else mean
            got = found[sentence, 3 * number : 3 * number + 3]
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def learner(tiny_encoder: Path, tmp_path: Path) -> tuple[LearnerState, object]:
    settings = load_settings(
        home=tmp_path,
        overrides={
            "method.name": "cf-cre-plus",
            "encoder.name": str(tiny_encoder),
            "encoder.max_length": 64,
            "compute.precision": "float32",
            "compute.threads": 1,
            "method.learning_rate": 1e-3,
            "memory.size": 3,
        },
        environ={},
    )
    return LearnerState.fresh(settings), settings


def test_entities_are_found_where_their_words_are(learner: tuple) -> None:
    """Markers written out in the text are text; offsets come from the markers' own ids."""
    state, settings = learner
    rows = [
        row("ada [E12] founded orion last year", "ada", "orion"),
        row("orion was set up by ada", "ada", "orion"),
    ]
    encoded = state.tokenizer.encode(rows, 64)
    found = extract(state.encoder, encoded, Compute.from_settings(settings.compute), 4096, anchor=1)
    size = state.encoder.size
    plain = extract(state.encoder, encoded, Compute.from_settings(settings.compute), 4096)
    np.testing.assert_allclose(found[:, :size], plain, rtol=1e-5, atol=1e-5)
    backend = state.tokenizer
    state.encoder.eval()
    for i, name in enumerate(rows):
        ids = encoded.ids[encoded.offsets[i] : encoded.offsets[i + 1]]
        with torch.inference_mode():
            hidden = state.encoder.transformer(
                input_ids=torch.from_numpy(ids)[None], output_hidden_states=True
            ).hidden_states[1][0]
        ada = backend.encode([row("ada and orion", "ada", "orion")], 64)
        word = ada.ids[int(ada.head[0]) + 1]
        positions = [p for p, piece in enumerate(ids) if piece == word]
        assert len(positions) == 1, name
        mean = hidden[positions[0]].numpy()
        got = found[i, size : 2 * size]
        np.testing.assert_allclose(got, mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-5)


def lower(state: LearnerState) -> list[torch.Tensor]:
    encoder = state.encoder
    frozen = [*encoder.transformer.embeddings.parameters(), *encoder.layers[0].parameters()]
    return [parameter.detach().clone() for parameter in frozen]


def test_the_first_task_trains_all_and_later_ones_the_upper_layers(
    learner: tuple, relation_rows, tmp_path: Path
) -> None:
    state, settings = learner
    before = lower(state)
    learn_task(
        state,
        relation_rows(["founded", "owns"], 12, 1),
        settings,
        {"batch": "1", "batch_name": "1"},
    )
    after_first = lower(state)
    assert not all(torch.equal(a, b) for a, b in zip(before, after_first, strict=True))
    first = state.extras["anchor.means"].clone()
    upper = [p.detach().clone() for p in state.encoder.layers[1].parameters()]
    # As in the pipeline: what the task starts from comes from a folder.
    state.save(tmp_path / "first")
    state = LearnerState.load(tmp_path / "first")
    learn_task(state, relation_rows(["wrote"], 12, 2), settings, {"batch": "2", "batch_name": "2"})
    assert all(torch.equal(a, b) for a, b in zip(after_first, lower(state), strict=True))
    now = list(state.encoder.layers[1].parameters())
    assert not all(torch.equal(a, b) for a, b in zip(upper, now, strict=True))
    # What was learned of the first relations stands as it was, to the last bit.
    assert torch.equal(state.extras["anchor.means"][:2], first)
    assert state.extras["anchor.counts"].tolist() == [12, 12, 12]
    predictor = Predictor(state, settings.compute)
    rows = relation_rows(["founded", "owns", "wrote"], 5, 9)
    assert predictor.embed(rows).shape == (15, 5 * state.encoder.size)
    assert predictor.similarities(rows).shape == (15, 3)


def test_another_depth_is_refused_in_the_middle_of_a_stream(learner: tuple, relation_rows) -> None:
    from cfcre.errors import ConfigurationError

    state, settings = learner
    learn_task(
        state, relation_rows(["founded", "owns"], 8, 1), settings, {"batch": "1", "batch_name": "1"}
    )
    state.extras["anchor.layer"] = torch.tensor(2)
    with pytest.raises(ConfigurationError, match=r"frozen_share=0\.5 freezes 1 layers"):
        learn_task(
            state, relation_rows(["wrote"], 8, 2), settings, {"batch": "2", "batch_name": "2"}
        )


def test_a_stream_that_another_method_began(learner: tuple, relation_rows) -> None:
    """Relations without statistics are counted from their memory."""
    state, settings = learner
    other = settings.model_copy(
        update={"method": settings.method.model_copy(update={"name": "emar"})}
    )
    learn_task(
        state, relation_rows(["founded", "owns"], 8, 1), other, {"batch": "1", "batch_name": "1"}
    )
    learn_task(state, relation_rows(["wrote"], 8, 2), settings, {"batch": "2", "batch_name": "2"})
    assert state.extras["anchor.counts"].tolist() == [3, 3, 8]
