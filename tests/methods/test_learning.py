"""A small stream is learned: better than fine-tuning, the same twice, the same in steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cfcre.config import Settings, load_settings
from cfcre.errors import ConfigurationError, StateError
from cfcre.methods import steps
from cfcre.methods.predictor import Predictor
from cfcre.methods.registry import get_method
from cfcre.methods.state import LearnerState, read_description
from cfcre.methods.task import learn_task

TASKS = [["founded", "born in"], ["owns", "wrote"], ["located in", "married to"]]


def changed(settings: Settings, **values) -> Settings:
    return load_settings(
        home=settings.home,
        base=settings.portable(),
        overrides={k.replace("__", "."): v for k, v in values.items()},
        environ={},
    )


def run_stream(settings, relation_rows):
    state = LearnerState.fresh(settings)
    for k, relations in enumerate(TASKS, start=1):
        facts = learn_task(
            state, relation_rows(relations, 24, k), settings, {"batch": f"b{k}", "batch_name": "n"}
        )
    return state, facts


def accuracy(state, relation_rows):
    rows = [e for k, r in enumerate(TASKS) for e in relation_rows(r, 20, 100 + k)]
    predicted = Predictor(state).predict_best(rows)
    return np.mean([p == e.relation for p, e in zip(predicted, rows, strict=True)])


@pytest.fixture(scope="module")
def module_settings(tiny_encoder, tmp_path_factory):
    return load_settings(
        home=tmp_path_factory.mktemp("home"),
        overrides={
            "encoder.name": str(tiny_encoder),
            "method.learning_rate": 2e-3,
            "method.head_learning_rate": 5e-3,
            "method.epoch1": 10,
            "method.epoch2": 4,
            "method.batch_size": 16,
            "method.projection_hidden": 32,
            "method.projection_size": 16,
            "compute.precision": "float32",
            "compute.threads": 1,
        },
        environ={},
    )


@pytest.fixture(scope="module")
def learned(module_settings, relation_rows):
    return run_stream(module_settings, relation_rows)


def test_cf_cre_remembers_what_finetune_forgets(learned, module_settings, relation_rows):
    state, _ = learned
    finetuned, _ = run_stream(changed(module_settings, method__name="finetune"), relation_rows)
    ours, lower = accuracy(state, relation_rows), accuracy(finetuned, relation_rows)
    assert ours > 0.68, "a silent regression: this stream was learned to 0.75 when this was written"
    assert ours > lower + 0.3
    assert finetuned.memory == []


def test_catalogue_memory_and_tasks_are_kept_in_order(learned):
    state, facts = learned
    assert state.catalogue == ["born in", "founded", "owns", "wrote", "located in", "married to"]
    assert [e.relation for e in state.memory] == [r for r in state.catalogue for _ in range(10)]
    assert [t["task"] for t in state.tasks] == [1, 2, 3]
    assert state.relation_embeddings.shape == (6, 48)
    phases = [entry["phase"] for entry in facts["consolidate"]["losses"]]
    # 40 of memory that are not in D_k + 48 of D_k: 6 batches of 16; 60 in memory: 4 batches.
    assert phases == (["replay"] * 6 + ["reconsolidation"] * 4) * 4
    assert {"loss", "L_cl", "L_rp"} < set(facts["consolidate"]["losses"][0])


def test_same_inputs_give_the_same_model(learned, module_settings, relation_rows):
    again, _ = run_stream(module_settings, relation_rows)
    torch.testing.assert_close(again.prototypes, learned[0].prototypes, rtol=0, atol=0)
    assert again.memory == learned[0].memory


def test_another_seed_gives_another_model(learned, module_settings, relation_rows):
    other, _ = run_stream(changed(module_settings, seed=1), relation_rows)
    assert not torch.equal(other.prototypes, learned[0].prototypes)


def test_steps_on_directories_equal_the_stream_in_memory(
    learned, module_settings, relation_rows, tmp_path
):
    """Each step in its own load and save, as pipeline components run it, bit for bit."""
    parent = None
    for k, relations in enumerate(TASKS, start=1):
        rows = relation_rows(relations, 24, k)
        extra = steps.augment(rows, module_settings, task=k)
        a, b, c = (tmp_path / f"{k}{name}" for name in "abc")
        lineage = {"batch": f"b{k}", "batch_name": "n"}
        steps.train_task(parent, rows, extra, a, module_settings, lineage=lineage)
        steps.select_memory(a, rows, b, module_settings)
        steps.consolidate(b, rows, c, module_settings)
        parent = c
    loaded = LearnerState.load(parent)
    torch.testing.assert_close(loaded.prototypes, learned[0].prototypes, rtol=0, atol=0)
    assert loaded.memory == learned[0].memory


def test_more_examples_of_a_known_relation_reselect_its_memory(
    learned, module_settings, relation_rows, tmp_path
):
    learned[0].save(tmp_path / "before")
    state = LearnerState.load(tmp_path / "before")
    old = {e.content_key for e in state.memory if e.relation == "owns"}
    rows = relation_rows(["owns"], 30, seed=77)
    learn_task(state, rows, module_settings, {"batch": "b4", "batch_name": "n"})
    assert len(state.catalogue) == 6 and len(state.relation_embeddings) == 6
    new = {e.content_key for e in state.memory if e.relation == "owns"}
    assert len(new) == 10 and new != old
    assert new <= old | {e.content_key for e in rows}
    untouched = [e for e in learned[0].memory if e.relation == "wrote"]
    assert [e for e in state.memory if e.relation == "wrote"] == untouched


def test_changing_the_encoder_of_a_stream_is_refused(learned, module_settings, relation_rows):
    settings = changed(module_settings, encoder__name="compact")
    with pytest.raises(ConfigurationError, match=r"started with encoder\.name"):
        learn_task(
            learned[0], relation_rows(["owns"], 4), settings, {"batch": "x", "batch_name": "x"}
        )


def test_unknown_method_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match="cf-cre, cf-cre-plus, emar, "):
        get_method("magic")


def test_state_round_trip_and_no_pickle(learned, tmp_path):
    learned[0].save(tmp_path / "s")
    names = {p.relative_to(tmp_path / "s").as_posix() for p in (tmp_path / "s").rglob("*.*")}
    assert names == {
        "state.json",
        "memory.jsonl",
        "heads.safetensors",
        "prototypes.safetensors",
        "method.safetensors",
        "encoder/config.json",
        "encoder/model.safetensors",
        "encoder/tokenizer.json",
    }
    back = LearnerState.load(tmp_path / "s")
    for name, value in learned[0].encoder.state_dict().items():
        torch.testing.assert_close(back.encoder.state_dict()[name], value, rtol=0, atol=0)
    assert read_description(tmp_path / "s")["catalogue"] == learned[0].catalogue


@pytest.mark.parametrize("name", ["heads.safetensors", "memory.jsonl", "encoder/config.json"])
def test_a_changed_or_missing_file_is_refused(learned, tmp_path, name):
    learned[0].save(tmp_path / "s")
    path = tmp_path / "s" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StateError, match="damaged"):
        LearnerState.load(tmp_path / "s")
    path.unlink()
    with pytest.raises(StateError, match=f"lacks {name}"):
        LearnerState.load(tmp_path / "s")


def test_state_of_another_format_is_refused(learned, tmp_path):
    learned[0].save(tmp_path / "s")
    path = tmp_path / "s" / "state.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(StateError, match="format 99"):
        LearnerState.load(tmp_path / "s")


def test_unconsolidated_state_can_not_predict(tiny_settings):
    with pytest.raises(StateError, match="not consolidated"):
        Predictor(LearnerState.fresh(tiny_settings))
