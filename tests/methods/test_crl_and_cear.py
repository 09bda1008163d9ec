"""CRL and CEAR: what they carry from the previous model, and what their states predict with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from method_streams import stream_settings

from cfcre.config import load_settings
from cfcre.data.schema import RelationExample, Span
from cfcre.errors import DataError, StateError
from cfcre.methods import cear as cear_module
from cfcre.methods.base import Session
from cfcre.methods.predictor import Predictor
from cfcre.methods.previous_answers import Answers
from cfcre.methods.state import LearnerState
from cfcre.methods.task import consolidate_task, learn_task, remember_task, start_task

LINEAGE = {"batch": "b", "batch_name": "b"}
FIRST, SECOND = ["owns", "wrote"], ["founded", "born in"]


@pytest.fixture(scope="module")
def quick(tiny_encoder, tmp_path_factory):
    """Function from a method and settings to the settings of a short training."""
    home = tmp_path_factory.mktemp("home")

    def settings(name, **changes):
        return load_settings(
            home=home,
            base=stream_settings(name, tiny_encoder, home).portable(),
            overrides={
                "method.epoch1": 2,
                "method.learning_rate": 1e-3,
                "crl.initial_epochs": 3,
                "crl.replay_epochs": 3,
                "cear.initial_epochs": 2,
                "cear.memory_epochs": 1,
                **{k.replace("__", "."): v for k, v in changes.items()},
            },
            environ={},
        )

    return settings


@pytest.fixture(scope="module")
def after_first(quick, relation_rows, tmp_path_factory):
    """Function from a method to the saved state after one task."""
    folders = {}

    def folder(name):
        if name not in folders:
            state = LearnerState.fresh(quick(name))
            learn_task(state, relation_rows(FIRST, 12), quick(name), LINEAGE)
            folders[name] = tmp_path_factory.mktemp(name) / "state"
            state.save(folders[name])
        return folders[name]

    return folder


def represent(state, examples, settings):
    session = Session(settings, 1, 1)
    encoded = session.encode(state, examples)
    return session.represent(state, encoded, mixed=False).numpy().astype(float)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def projected(state, rows):
    """Eq. 4 in NumPy."""
    w1, b1, w2, b2 = (
        t.detach().numpy().astype(float)
        for layer in (state.projection.first, state.projection.second)
        for t in (layer.weight, layer.bias)
    )
    return np.maximum(rows @ w1.T + b1, 0) @ w2.T + b2


def means(rows, examples, relations):
    return np.stack(
        [
            np.mean([row for row, e in zip(rows, examples, strict=True) if e.relation == r], axis=0)
            for r in relations
        ]
    )


def test_crl_writes_down_the_similarities_of_the_model_before(after_first, quick, relation_rows):
    settings = quick("crl")
    before, state = (LearnerState.load(after_first("crl")) for _ in range(2))
    assert state.extras == {}
    rows = relation_rows(SECOND, 12)
    start_task(state, rows, [], settings, LINEAGE)
    z = unit(projected(before, represent(before, before.memory, settings)))
    prototypes = unit(means(z, before.memory, before.catalogue))
    expected = prototypes @ prototypes.T
    np.testing.assert_allclose(state.extras["previous.similarities"], expected, atol=1e-5)
    assert abs(expected[0, 1] - 1) > 1e-4
    remember_task(state, rows, settings)
    facts = consolidate_task(state, rows, settings)
    assert {e["phase"] for e in facts["losses"]} == {"replay"} and state.extras == {}
    h = unit(represent(state, state.memory, settings))
    nearest = unit(means(h, state.memory, state.catalogue))
    np.testing.assert_allclose(state.prototypes, nearest, atol=1e-5)


def test_crl_replays_nothing_in_the_first_task(quick, relation_rows):
    state = LearnerState.fresh(quick("crl"))
    facts = learn_task(state, relation_rows(FIRST, 12), quick("crl"), LINEAGE)
    assert facts["train_task"]["steps"] > 0 and facts["consolidate"]["steps"] == 0


def test_crl_distillation_keeps_old_relations_in_their_places(after_first, quick, relation_rows):
    """The divergence after the same replay with and without it in the sum."""
    last = {}
    for weight in (0.0, 3.0):
        settings = quick("crl", crl__distillation_weight=weight, crl__replay_epochs=10)
        state = LearnerState.load(after_first("crl"))
        facts = learn_task(state, relation_rows(SECOND, 12), settings, LINEAGE)
        entries = facts["consolidate"]["losses"]
        last[weight] = np.mean([e["L_kd"] for e in entries[len(entries) // 2 :]])
        assert all(
            e["loss"] == pytest.approx(e["L_cl"] + weight * e["L_kd"], rel=1e-5) for e in entries
        )
    assert last[3.0] < 0.7 * last[0.0]


def test_cear_asks_the_model_before_about_all_that_memory_can_hold(
    after_first, quick, relation_rows
):
    settings = quick("cear")
    before, state = (LearnerState.load(after_first("cear")) for _ in range(2))
    rows = relation_rows(SECOND, 12)
    start_task(state, rows, [], settings, LINEAGE)
    remember_task(state, rows, settings)
    h = unit(represent(before, state.memory, settings))
    size = h.shape[1] ** 0.5
    scale, tau = settings.method.similarity_scale, settings.cear.tau
    classifier = scale * h @ unit(before.relation_embeddings.numpy()).T
    anchors = unit(projected(before, size * before.prototypes.numpy()))
    contrast = unit(projected(before, size * h)) @ anchors.T / tau
    asked = Answers.take(dict(state.extras), state.memory)
    assert asked.relations == len(FIRST)
    np.testing.assert_allclose(asked.classifier, classifier, atol=2e-4)
    np.testing.assert_allclose(asked.contrast, contrast, atol=2e-4)
    stranger = relation_rows(["located in"], 1)
    with pytest.raises(StateError, match="was not asked about"):
        Answers.take(dict(state.extras), stranger)
    consolidate_task(state, rows, settings)
    assert not any(key.startswith("previous.") for key in state.extras)


def test_cear_static_prototypes_are_of_all_rows_and_never_move(after_first, quick, relation_rows):
    settings = quick("cear")
    state = LearnerState.load(after_first("cear"))
    old = state.extras["prototypes.static"].clone()
    rows = [*relation_rows(SECOND, 12), *relation_rows(["owns"], 8, seed=5)]
    start_task(state, rows, [], settings, LINEAGE)
    expected = means(unit(represent(state, rows, settings)), rows, sorted(SECOND))
    static = state.extras["prototypes.static"]
    torch.testing.assert_close(static[:2], old, rtol=0, atol=0)
    np.testing.assert_allclose(static[2:], expected, atol=1e-5)
    remember_task(state, rows, settings)
    consolidate_task(state, rows, settings)
    torch.testing.assert_close(state.extras["prototypes.static"], static, rtol=0, atol=0)


def test_cear_predicts_by_blended_prototypes_and_probabilities(after_first, quick, relation_rows):
    settings = quick("cear", cear__alpha=0.3, cear__beta=0.8)
    state = LearnerState.load(after_first("cear"))
    rows = relation_rows(SECOND, 12)
    facts = learn_task(state, rows, settings, LINEAGE)
    parts = facts["consolidate"]["losses"][-1]
    own = settings.cear
    assert parts["loss"] == pytest.approx(
        parts["L_cls"]
        + parts["L_cl"]
        + own.mu * parts["L_m"]
        + own.lambda1 * parts["L_fd1"]
        + own.lambda2 * parts["L_fd2"],
        rel=1e-5,
    )
    memory = means(unit(represent(state, state.memory, settings)), state.memory, state.catalogue)
    blend = 0.2 * unit(state.extras["prototypes.static"].numpy()) + 0.8 * unit(memory)
    np.testing.assert_allclose(state.prototypes, unit(blend), atol=1e-5)
    test = relation_rows([*FIRST, *SECOND], 4, seed=9)
    h = unit(represent(state, test, settings))
    size = h.shape[1] ** 0.5
    by_classifier = settings.method.similarity_scale * h @ unit(state.relation_embeddings.numpy()).T
    anchors = unit(projected(state, size * unit(blend)))
    by_prototype = unit(projected(state, size * h)) @ anchors.T / own.tau
    softmax = [
        np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (by_classifier, by_prototype)
    ]
    expected = 0.3 * softmax[0] + 0.7 * softmax[1]
    predictor = Predictor(state)
    np.testing.assert_allclose(predictor.rule.scores(predictor.embed(test)), expected, atol=1e-4)
    assert [p[0].relation for p in predictor.predict(test)] == [
        state.catalogue[i] for i in expected.argmax(axis=1)
    ]


def entities_only(head, between, tail, relation):
    """A sentence that is its entities and what is between them."""
    start = len(head) + len(between) + 2
    return RelationExample(
        f"{head} {between} {tail}",
        Span(0, len(head)),
        Span(start, start + len(tail)),
        relation,
    )


def test_cear_leaves_out_what_the_encoder_can_not_read(quick, monkeypatch):
    """A long head fits its own sentence, and none that it can be swapped into."""
    head = "ada boris carla dmitri elena farid greta hugo"
    long = [entities_only(head, "wed", "riga", relation) for relation in FIRST]
    rows = long + [
        entities_only(name, "holds all shares of", "riga", relation)
        for relation in FIRST
        for name in head.split()[:5]
    ]
    settings = quick("cear", encoder__max_length=16, memory__size=6)
    state = LearnerState.fresh(settings)
    learn_task(state, rows, settings, LINEAGE)
    assert {e.content_key for e in long} < {e.content_key for e in state.memory}
    monkeypatch.setattr(cear_module, "fits", lambda _, examples, __: [True] * len(examples))
    with pytest.raises(DataError, match="apart"):
        learn_task(LearnerState.fresh(settings), rows, settings, LINEAGE)


@pytest.mark.parametrize("name", ["crl", "cear"])
@pytest.mark.parametrize("before", ["finetune", "cf-cre"])
def test_a_stream_goes_on_that_another_method_began(
    name, before, after_first, quick, relation_rows, tmp_path
):
    """Finetune leaves no memory: its relations live on in their embeddings."""
    state = LearnerState.load(after_first(before))
    for task, relations in enumerate((SECOND, ["located in"])):
        learn_task(state, relation_rows(relations, 12, task), quick(name), LINEAGE)
        lengths = torch.linalg.vector_norm(state.prototypes, dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=1e-5)
    state.save(tmp_path / "state")
    predicted = Predictor.load(tmp_path / "state").predict(relation_rows(FIRST, 3), top_k=9)
    assert all({p.relation for p in row} == set(state.catalogue) for row in predicted)


def test_cear_needs_a_consolidated_parent(after_first, quick, relation_rows):
    state = LearnerState.load(after_first("cear"))
    start_task(state, relation_rows(SECOND, 12), [], quick("cear"), LINEAGE)
    with pytest.raises(StateError, match="not consolidated"):
        start_task(state, relation_rows(["located in"], 12), [], quick("cear"), LINEAGE)


@pytest.mark.parametrize("key", ["anchors", "classifier", "first.weight", "second.bias", "alpha"])
def test_a_state_without_a_tensor_of_its_rule_is_refused(key, after_first):
    state = LearnerState.load(after_first("cear"))
    del state.extras[f"blended.{key}"]
    with pytest.raises(StateError, match=f"blended.{key}"):
        Predictor(state)


def test_a_misshapen_tensor_is_refused(after_first):
    state = LearnerState.load(after_first("cear"))
    state.extras["blended.anchors"] = state.extras["blended.anchors"][:1]
    with pytest.raises(StateError, match=r"blended\.anchors"):
        Predictor(state)
