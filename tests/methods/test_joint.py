"""The upper bound: each task's model comes from all rows and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from method_streams import stream_settings
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cfcre.config import load_settings
from cfcre.methods.features import extract
from cfcre.methods.joint import Joint
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task
from cfcre.modeling.compute import Compute
from cfcre.modeling.encoder import RelationEncoder

FIRST, SECOND = ["owns", "wrote"], ["founded", "born in"]


@pytest.fixture
def settings(tiny_encoder, tmp_path):
    return load_settings(
        home=tmp_path,
        base=stream_settings("joint", tiny_encoder, tmp_path).portable(),
        overrides={"method.epoch1": 2},
        environ={},
    )


def two_tasks(settings, relation_rows, between=lambda state: None):
    state = LearnerState.fresh(settings)
    for k, relations in enumerate((FIRST, SECOND), start=1):
        learn_task(
            state, relation_rows(relations, 12, k), settings, {"batch": "b", "batch_name": "b"}
        )
        if k == 1:
            between(state)
    return state


def disturb(state):
    """Another model of the same rows."""
    with torch.no_grad():
        for values in state.encoder.parameters():
            values.add_(0.1)
    state.relation_embeddings = -state.relation_embeddings
    state.extras["anchor.means"] = state.extras["anchor.means"] + 1


def test_nothing_but_rows_is_left_of_the_model_before(settings, relation_rows):
    expected = two_tasks(settings, relation_rows)
    found = two_tasks(settings, relation_rows, disturb)
    assert len(expected.memory) == 4 * 12
    for ours, theirs in zip(found.tensors(), expected.tensors(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(found.prototypes, expected.prototypes)


def test_auxiliary_classes_join_relations_of_all_tasks(settings, relation_rows, monkeypatch):
    seen = []

    def spy(state, train, augmented, session):
        seen.append(({e.relation for e in train}, {e.relation for e in augmented}))

    monkeypatch.setattr("cfcre.methods.joint.learn_new_relations", spy)
    two_tasks_without_learning(settings, relation_rows)
    (_, first), (rows, second) = seen
    assert rows == {*FIRST, *SECOND}
    assert {f"reversed:{r}" for r in rows} < second
    assert not any(r in name for name in first for r in SECOND)
    # Four relations stand on one ring, so at least one pair is of two tasks.
    pairs = [name.removeprefix("hybrid:").split("|") for name in second if "hybrid:" in name]
    assert len(pairs) == 4
    assert any((a in FIRST) != (b in FIRST) for a, b in pairs)


def two_tasks_without_learning(settings, relation_rows):
    from cfcre.methods.base import Session

    state, method = LearnerState.fresh(settings), Joint()
    for k, relations in enumerate((FIRST, SECOND), start=1):
        train = relation_rows(relations, 12, k)
        method.train_task(state, train, [], Session(settings, k, 1))
        state.memory += train


def test_the_second_classifier_is_that_of_all_rows(settings, relation_rows):
    state = two_tasks(settings, relation_rows)
    layer = int(state.extras["anchor.layer"])
    encoder: RelationEncoder = state.encoder
    encoder.eval()
    rows = [*relation_rows(FIRST, 12, 1), *relation_rows(SECOND, 12, 2)]
    encoded = state.tokenizer.encode(rows, settings.encoder.max_length)
    compute = Compute.from_settings(settings.compute)
    features = extract(encoder, encoded, compute, 4096, anchor=layer)[:, encoder.size :]
    labels = state.labels(rows).numpy()
    solved = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=settings.cf_cre_plus.shrinkage, priors=np.full(4, 0.25)
    ).fit(features.astype(np.float64), labels)
    ours = features @ state.extras["anchor.weight"].numpy().T + state.extras["anchor.bias"].numpy()
    theirs = solved.decision_function(features.astype(np.float64))
    gap = (ours - ours.mean(1, keepdims=True)) - (theirs - theirs.mean(1, keepdims=True))
    assert np.abs(gap).max() < 0.02 * np.abs(theirs).max()
