"""Every method on one tiny stream: it learns, it resumes, it is served and run like any other."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from method_streams import (
    CASES,
    MARGIN,
    TASKS,
    accuracy,
    held_out,
    learn_stream,
    stream_settings,
    task_rows,
)

from cfcre.cli.main import main
from cfcre.config import MethodName, Settings
from cfcre.data.files import write_examples
from cfcre.methods import steps
from cfcre.methods.predictor import Predictor
from cfcre.methods.registry import METHODS
from cfcre.methods.state import LearnerState

CONTINUAL = sorted(set(CASES) - {"finetune", "joint"})


@pytest.fixture(scope="module")
def learned(tiny_encoder, relation_rows, tmp_path_factory):
    """Function from a method's name to its learned stream; each is learned once."""
    streams = {}

    def learn(name):
        if name not in streams:
            folder = tmp_path_factory.mktemp(name)
            settings = stream_settings(name, tiny_encoder, folder / "home")
            streams[name] = learn_stream(settings, relation_rows, folder)
        return streams[name]

    return learn


def test_every_registered_method_can_be_set_and_is_tested_here():
    assert set(METHODS) == set(get_args(MethodName)) == set(CASES)
    assert all(method.name == name for name, method in METHODS.items())


@pytest.mark.parametrize("name", CASES)
def test_accuracy_is_what_it_was(name, learned, relation_rows):
    """A silent regression fails here."""
    found = accuracy(Predictor(learned(name).state), held_out(relation_rows))
    assert found == pytest.approx(CASES[name].accuracy, abs=CASES[name].tolerance)


@pytest.mark.parametrize("name", CONTINUAL)
def test_better_than_finetune_and_not_than_joint(name, learned, relation_rows):
    rows = held_out(relation_rows)
    lower, ours, upper = (
        accuracy(Predictor(learned(n).state), rows) for n in ("finetune", name, "joint")
    )
    assert lower + MARGIN < ours < upper


@pytest.mark.parametrize("name", CASES)
def test_the_state_keeps_what_the_method_says(name, learned, relation_rows):
    state = learned(name).state
    assert state.catalogue == [r for task in TASKS for r in sorted(task)]
    unit = torch.linalg.vector_norm(state.prototypes, dim=1)
    torch.testing.assert_close(unit, torch.ones(6), rtol=0, atol=1e-5)
    kept = {"finetune": 0, "joint": 20}.get(name, 6)
    assert [e.relation for e in state.memory] == [r for r in state.catalogue for _ in range(kept)]
    assert state.rule == METHODS[name].rule
    for beginning in CASES[name].tensors:
        assert any(key.startswith(beginning) for key in state.extras)
    assert all(key.startswith(CASES[name].tensors) for key in state.extras)
    # Only finite numbers can be compared between replicas, and be served.
    assert all(bool(torch.isfinite(t).all()) for t in state.tensors())


@pytest.mark.parametrize("name", CASES)
def test_steps_in_processes_of_their_own_end_where_the_stream_in_memory_does(
    name, learned, relation_rows, tmp_path
):
    """Each step loads what the one before saved, and one is repeated as after a kill."""
    done = learned(name)
    rows, settings = task_rows(relation_rows, 3), done.settings
    extra = steps.augment(rows, settings, task=3)
    a, b, c = (tmp_path / letter for letter in "abc")
    lineage = {"batch": "b3", "batch_name": "b3"}
    steps.train_task(done.before, rows, extra, a, settings, lineage=lineage)
    shutil.rmtree(a)
    steps.train_task(done.before, rows, extra, a, settings, lineage=lineage)
    steps.select_memory(a, rows, b, settings)
    steps.consolidate(b, rows, c, settings)
    state = LearnerState.load(c)
    assert state.memory == done.state.memory and state.rule == done.state.rule
    assert state.extras.keys() == done.state.extras.keys()
    pairs = [(state.prototypes, done.state.prototypes)]
    pairs += list(zip(state.tensors(), done.state.tensors(), strict=True))
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_a_saved_state_and_the_registered_model_predict_the_same(name, learned, relation_rows):
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    from cfcre.tracking.pyfunc_model import CfcreModel, RelationQuery

    done, rows = learned(name), held_out(relation_rows)[::7]
    here, loaded = Predictor(done.state), Predictor.load(done.folder)
    model = CfcreModel()
    model.load_context(SimpleNamespace(artifacts={"state": str(done.folder)}))
    spans = [{"start": s.start, "end": s.end} for e in rows for s in (e.head, e.tail)]
    answers = model.predict(
        [
            RelationQuery(text=e.text, head=head, tail=tail)
            for e, head, tail in zip(rows, spans[::2], spans[1::2], strict=True)
        ],
        params={"top_k": 6},
    )
    assert len({a.relation for a in answers}) > 1
    for best, again, answer in zip(
        here.predict(rows, 6), loaded.predict(rows, 6), answers, strict=True
    ):
        assert best == again
        assert [(t.relation, t.score, t.probability) for t in answer.top] == [
            (p.relation, p.score, p.probability) for p in best
        ]
        assert sum(p.probability for p in best) == pytest.approx(1, abs=1e-5)
        assert np.all(np.diff([p.score for p in best]) <= 0)
    assert [b[0].relation for b in here.predict(rows)] == here.predict_best(rows)


@pytest.mark.parametrize("name", CASES)
def test_run_task_takes_the_method_by_its_name(name, tiny_encoder, relation_rows, tmp_path, capsys):
    write_examples(tmp_path / "batch.jsonl", relation_rows(["owns", "wrote"], 20))
    settings = {
        "method": name,
        "encoder": str(tiny_encoder),
        "method.epoch1": 1,
        "method.epoch2": 1,
        "method.projection_hidden": 8,
        "method.projection_size": 4,
        "compute.threads": 1,
        **CASES[name].settings,
    }
    changes = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
    common = ["--home", str(tmp_path / "home"), "--data", str(tmp_path / "batch.jsonl")]
    code = main(["run-task", *common, "--out", str(tmp_path / "out"), *changes])
    assert code == 0, capsys.readouterr().err
    assert "accuracy by task" in capsys.readouterr().out
    state = LearnerState.load(tmp_path / "out" / "state")
    assert state.settings["method"]["name"] == name
    assert Settings.model_fields.keys() >= {"rp_cre", "crl", "cear"} <= state.settings.keys()
    assert len(Predictor(state).predict(relation_rows(["owns"], 2))) == 2
