"""Two and three processes learn what one learns, over two tasks, dropout included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stream_worker import METHODS

from cfcre.config import load_settings
from cfcre.data.files import read_json
from cfcre.methods.base import Session
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLOSE = 5e-4
# Five steps of AdamW at the learning rate of these tests.
FEW_STEPS = 1e-2
# A softmax does not see what is added to all its inputs, so the exact gradient of a key's bias is
# zero: rounding is all of it, AdamW brings it to the size of any other, and no output feels it.
NO_GRADIENT = ".key.bias"


def tensors(state: LearnerState) -> dict[str, torch.Tensor]:
    assert state.prototypes is not None
    return {
        **state.encoder.state_dict(),
        **{f"projection.{k}": v for k, v in state.projection.state_dict().items()},
        "relation_embeddings": state.relation_embeddings,
        "prototypes": state.prototypes,
        **state.extras,
    }


def accuracy(state: LearnerState, rows: list[Any]) -> float:
    predicted = Predictor(state).predict_best(rows)
    return float(np.mean([p == e.relation for p, e in zip(predicted, rows, strict=True)]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_learn_what_one_learns(
    processes: int,
    method: str,
    learn_with: Callable[[int], Path],
    relation_rows: Callable[..., list[Any]],
    record_property: Callable[[str, object], None],
) -> None:
    alone = LearnerState.load(learn_with(1) / method)
    together = LearnerState.load(learn_with(processes) / method)
    expected, found = tensors(alone), tensors(together)
    assert set(expected) == set(found)
    # Statistics of second order are of any size; what is apart is told in parts of the largest one.
    apart = {
        k: (v - found[k]).abs().double() / max(1.0, float(v.abs().max()))
        for k, v in expected.items()
    }
    differences = {k: float(d.max()) for k, d in apart.items()}
    felt = torch.cat([d.flatten() for k, d in apart.items() if not k.endswith(NO_GRADIENT)])
    largest = float(felt.max())
    of_bias = max(d for k, d in differences.items() if k.endswith(NO_GRADIENT))
    size = max(float(v.abs().max()) for v in expected.values())
    test_rows = relation_rows(["founded", "born in", "owns", "wrote"], 25, 99)
    accuracies = accuracy(alone, test_rows), accuracy(together, test_rows)
    print(
        f"{method}, {processes} processes: largest difference of a weight {largest:.2e} "
        f"(key biases {of_bias:.2e}, largest weight {size:.2f}), of a prototype "
        f"{differences['prototypes']:.2e}; accuracy {accuracies[0]:.3f} and {accuracies[1]:.3f}"
    )
    record_property("largest_difference", largest)
    assert alone.catalogue == together.catalogue and alone.memory == together.memory
    # AdamW moves a weight whose gradient is rounding only as far as any other: a few may be apart.
    assert float((felt < CLOSE).float().mean()) > 0.9999
    assert largest < FEW_STEPS
    assert differences["prototypes"] < CLOSE / 5
    assert abs(accuracies[0] - accuracies[1]) <= 0.01
    # The comparison says something: the model has moved far from where it started.
    start = LearnerState.fresh(load_settings(base=alone.settings, environ={})).encoder.state_dict()
    moved = max(float((v - expected[k]).abs().max()) for k, v in start.items())
    assert moved > 20 * CLOSE


@pytest.mark.parametrize("method", METHODS)
def test_the_losses_told_are_those_of_whole_batches(
    method: str, learn_with: Callable[[int], Path]
) -> None:
    alone, together = (read_json(learn_with(n) / f"{method}.json") for n in (1, 3))
    for step in ("train_task", "consolidate"):
        pairs = list(zip(alone[step]["losses"], together[step]["losses"], strict=True))
        for one, several in pairs:
            assert one["phase"] == several["phase"] and one["step"] == several["step"]
            assert several["loss"] == pytest.approx(one["loss"], rel=5e-4, abs=5e-4)
    assert alone["train_task"]["losses"][-1]["loss"] < alone["train_task"]["losses"][0]["loss"]


def test_what_is_wrong_in_one_process_is_an_error_in_all(learn_with: Callable[[int], Path]) -> None:
    for rank in range(3):
        found = read_json(learn_with(3) / f"noticed-{rank}.json")
        assert found["not finite"].startswith("CfcreError: train_task: the loss is not finite")
        assert found["other job"].startswith("ConfigurationError")
        assert found["other weights"].startswith("RetryableError")
        assert found["rounding"] == "nothing"


@pytest.mark.parametrize("processes", [2, 3])
def test_features_are_those_of_one_process_bit_for_bit(
    processes: int, learn_with: Callable[[int], Path], task_rows: list[list[Any]]
) -> None:
    folder = learn_with(processes)
    state = LearnerState.load(folder / METHODS[-1])
    session = Session(load_settings(base=state.settings, environ={}), 1, 1)
    encoded = session.encode(state, task_rows[-1])
    expected = session.represent(state, encoded, mixed=False)
    assert torch.equal(load_file(folder / "features.safetensors")["h"], expected)
