"""Kubeflow's own MLflow integration: it opens a run for every step and names it to the step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tracking_cases import evaluation, facts

from cfcre.config import Settings
from cfcre.tracking.client import Tracker


@pytest.fixture
def client(store_settings: Settings) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store_settings.tracking_uri, registry_uri=store_settings.tracking_uri)


@pytest.fixture
def step_run(client: Any, store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """What Kubeflow's driver does before the step: a run below the pipeline's, and variables."""
    experiment = client.create_experiment(
        f"{store_settings.tracking.experiment}-kubeflow",
        artifact_location=store_settings.artifact_root,
    )
    parent = client.create_run(experiment, run_name="continual-learning").info.run_id
    child = client.create_run(
        experiment, run_name="register", tags={"mlflow.parentRunId": parent}
    ).info.run_id
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", child)
    return str(child)


def step(settings: Settings, state_dir: Path, seed: int) -> str:
    """What the stage 'register' says to MLflow."""
    tracker = Tracker(settings)
    run_id = tracker.open_run(
        "news-002-1a", {"cfcre.stream": "news"}, {"seed": seed, "a": {"b": 1}}
    )
    tracker.log_losses(run_id, [{"phase": "train_task", "step": 0, "loss": 1.5}], "loss")
    tracker.log_evaluation(run_id, evaluation())
    version = tracker.register(run_id, state_dir, evaluation(), facts())
    tracker.set_alias("challenger", version)
    tracker.close_run(run_id)
    return version


def test_the_step_writes_into_the_run_it_was_given(
    client: Any, store_settings: Settings, step_run: str, state_dir: Path
) -> None:
    version = step(store_settings, state_dir, 1)
    run = client.get_run(step_run)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "1", "a.b": "1"}
    assert run.data.tags["mlflow.parentRunId"], "the tree that Kubeflow made stays as it is"
    assert run.data.metrics["average_accuracy"] == pytest.approx(0.85)
    made = client.get_model_version(store_settings.tracking.registered_model, version)
    assert made.run_id == step_run
    names = {e.name for e in client.search_experiments()}
    assert store_settings.tracking.experiment not in names, "no experiment that nothing goes into"


def test_a_step_that_is_tried_again_goes_on_in_its_run(
    client: Any, store_settings: Settings, step_run: str, state_dir: Path
) -> None:
    """Kubeflow has closed the run as failed, and noted the step's inputs as parameters."""
    first = step(store_settings, state_dir, 1)
    client.log_param(step_run, "verdict", "promote")
    client.set_terminated(step_run, "FAILED")
    assert step(store_settings, state_dir, 2) == first, "one version, however often it is tried"
    run = client.get_run(step_run)
    assert run.info.status == "FINISHED"
    # MLflow refuses a changed parameter; the first value stays and the change is shown.
    assert run.data.params == {"seed": "1", "a.b": "1", "verdict": "promote"}
    assert run.data.tags["cfcre.param_changed.seed"] == "2"
    history = client.get_metric_history(step_run, "loss/train_task/loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.5)], "once"
    assert len(client.search_runs([run.info.experiment_id])) == 2, "no run beside Kubeflow's two"


def test_the_variables_are_still_there_afterwards(
    store_settings: Settings, step_run: str, state_dir: Path
) -> None:
    """mlflow.start_run() would take MLFLOW_RUN_ID away, and a second call would open a new run."""
    before = {k: v for k, v in os.environ.items() if k in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")}
    step(store_settings, state_dir, 1)
    after = {k: v for k, v in os.environ.items() if k in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")}
    assert after == before
    assert before["MLFLOW_RUN_ID"] == step_run


def test_another_attempts_run_finds_the_version_of_the_first(
    client: Any,
    store_settings: Settings,
    step_run: str,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new Kubeflow run has a new MLflow run; the batch still has one version."""
    first = step(store_settings, state_dir, 1)
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(experiment).info.run_id)
    assert step(store_settings, state_dir, 1) == first
