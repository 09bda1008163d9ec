"""What a method carries on is in the state: saved, checked, used in prediction, and left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cfcre.config import load_settings
from cfcre.errors import ConfigurationError, StateError
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task

LINEAGE = {"batch": "b", "batch_name": "b"}


@pytest.fixture
def quick(tiny_settings):
    # A method that carries nothing by itself.
    short = {"name": "cf-cre", "epoch1": 1, "epoch2": 1}
    method = tiny_settings.method.model_copy(update=short)
    return tiny_settings.model_copy(update={"method": method})


@pytest.fixture
def state(quick, relation_rows):
    learner = LearnerState.fresh(quick)
    learn_task(learner, relation_rows(["owns", "wrote"], 8), quick, LINEAGE)
    return learner


def test_extras_and_rule_survive_a_save_and_decide_the_prediction(state, relation_rows, tmp_path):
    rows = relation_rows(["owns", "wrote"], 4, seed=5)
    # A classifier that is the opposite of the prototypes: the nearest one loses.
    state.extras = {"linear.weight": -state.prototypes, "linear.bias": torch.zeros(2)}
    nearest = Predictor(state).predict_best(rows)
    state.rule = "linear"
    state.save(tmp_path / "s")
    back = LearnerState.load(tmp_path / "s")
    assert back.rule == "linear" and back.extras.keys() == state.extras.keys()
    for name, value in state.extras.items():
        torch.testing.assert_close(back.extras[name], value, rtol=0, atol=0)
    predictor = Predictor(back)
    assert all(a != b for a, b in zip(predictor.predict_best(rows), nearest, strict=True))
    for best, cosines in zip(
        predictor.predict(rows, top_k=2), predictor.similarities(rows), strict=True
    ):
        np.testing.assert_allclose([p.score for p in best], sorted(-cosines)[::-1], atol=1e-6)
        assert sum(p.probability for p in best) == pytest.approx(1, abs=1e-6)


def test_a_damaged_extras_file_is_refused(state, tmp_path):
    state.extras = {"linear.bias": torch.ones(2)}
    state.save(tmp_path / "s")
    path = tmp_path / "s" / "method.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(StateError, match=r"method\.safetensors does not match"):
        LearnerState.load(tmp_path / "s")


def test_a_state_without_rule_and_extras_is_read_as_before(state, tmp_path):
    state.save(tmp_path / "s")
    assert not (tmp_path / "s" / "method.safetensors").exists()
    path = tmp_path / "s" / "state.json"
    description = json.loads(path.read_text())
    del description["rule"]
    path.write_text(json.dumps(description))
    back = LearnerState.load(tmp_path / "s")
    assert back.rule == "nearest-prototype" and back.extras == {}


def test_an_extras_file_that_the_state_does_not_list_is_not_read(state, tmp_path):
    state.save(tmp_path / "s")
    (tmp_path / "s" / "method.safetensors").write_bytes(b"not checked by anyone")
    assert LearnerState.load(tmp_path / "s").extras == {}


def test_replicas_are_compared_in_what_a_method_carries_too(state):
    before = len(state.tensors())
    state.extras = {"b": torch.ones(2), "a": torch.zeros(1), "count": torch.ones(2).long()}
    assert [t.tolist() for t in state.tensors()[before:]] == [[0.0], [1.0, 1.0]]


def test_another_method_does_not_inherit_extras(state, quick, relation_rows):
    state.extras = {"linear.bias": torch.ones(2)}
    state.rule = "linear"
    rows = relation_rows(["founded"], 6)
    learn_task(state, rows, quick, LINEAGE)
    assert state.extras.keys() == {"linear.bias"}, "the same method goes on with its own"
    other = quick.model_copy(
        update={"method": quick.method.model_copy(update={"name": "finetune"})}
    )
    learn_task(state, rows, other, LINEAGE)
    assert state.extras == {} and state.rule == "nearest-prototype"


def test_an_unknown_method_is_refused_before_any_work(tmp_path):
    for key in ("method", "method.name"):
        with pytest.raises(ConfigurationError, match=r"setting 'method\.name'.*'finetune'"):
            load_settings(home=tmp_path, assignments=[f"{key}=magic"], environ={})
    assert load_settings(
        home=tmp_path, assignments=["method=finetune"], environ={}
    ).method.name == ("finetune")
