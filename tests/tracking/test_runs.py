"""Runs over a real store, embedded and remote: opened once, written once, honest about NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tracking_cases import evaluation

from cfcre.config import Settings
from cfcre.errors import NotFoundError
from cfcre.tracking.client import Tracker


@pytest.fixture
def tracker(store_settings: Settings) -> Tracker:
    return Tracker(store_settings)


def mlflow_client(settings: Settings) -> Any:
    """MLflow's own client, as the oracle."""
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)


def read_json_artifact(settings: Settings, run_id: str, path: str, folder: Path) -> Any:
    local = mlflow_client(settings).download_artifacts(run_id, path, str(folder))
    return json.loads(Path(local).read_text(encoding="utf-8"))


def test_the_same_name_opens_the_same_run(store_settings: Settings, tracker: Tracker) -> None:
    first = tracker.open_run("news-1", {"a": "1"}, {"seed": 1})
    again = Tracker(store_settings).open_run("news-1", {"b": "2"}, {"seed": 1})
    other = tracker.open_run("news-2")
    assert first == again != other
    runs = mlflow_client(store_settings).search_runs([tracker.prepare()])
    assert len(runs) == 2
    tags = mlflow_client(store_settings).get_run(first).data.tags
    assert (tags["a"], tags["b"], tags["cfcre.run_name"]) == ("1", "2", "news-1")


def test_a_reopened_run_is_running_again(store_settings: Settings, tracker: Tracker) -> None:
    run_id = tracker.open_run("news-1")
    tracker.close_run(run_id, "FAILED")
    assert mlflow_client(store_settings).get_run(run_id).info.status == "FAILED"
    tracker.open_run("news-1")
    assert mlflow_client(store_settings).get_run(run_id).info.status == "RUNNING"
    tracker.close_run(run_id)
    info = mlflow_client(store_settings).get_run(run_id).info
    assert info.status == "FINISHED"
    assert info.end_time is not None


def test_a_changed_parameter_is_kept_and_shown(store_settings: Settings, tracker: Tracker) -> None:
    params = {"seed": 1, "method": {"name": "cf-cre", "tau": 0.1}, "labels": ["a", "b"]}
    run_id = tracker.open_run("news-1", params=params)
    changed = {"seed": 1, "method": {"name": "cf-cre", "tau": 0.2, "alpha": 0.3}}
    assert tracker.open_run("news-1", params=changed) == run_id
    data = mlflow_client(store_settings).get_run(run_id).data
    assert data.params == {
        "seed": "1",
        "method.name": "cf-cre",
        "method.tau": "0.1",
        "method.alpha": "0.3",
        "labels": '["a", "b"]',
    }
    noted = {k: v for k, v in data.tags.items() if k.startswith("cfcre.param_changed.")}
    assert noted == {"cfcre.param_changed.method.tau": "0.2"}


def test_more_parameters_than_a_request_holds(store_settings: Settings, tracker: Tracker) -> None:
    params = {f"p{i}": "x" * 7000 if i == 0 else i for i in range(250)}
    run_id = tracker.open_run("news-1", params=params)
    tracker.open_run("news-1", params=params)
    data = mlflow_client(store_settings).get_run(run_id).data
    assert len(data.params) == 250
    assert not [k for k in data.tags if k.startswith("cfcre.param_changed.")]


def test_every_loss_once_whatever_is_repeated(store_settings: Settings, tracker: Tracker) -> None:
    run_id = tracker.open_run("news-1")
    losses = [
        {"phase": "replay", "step": s, "loss": 1.0 / (s + 1), "L_cl": float(s)} for s in range(1100)
    ]
    tracker.log_losses(run_id, losses[:700], "consolidate")
    tracker.log_losses(run_id, losses, "consolidate")
    tracker.log_losses(
        run_id, [{"phase": "train_task", "step": 4, "loss": 2.0, "timestamp": 1234}], "train_task"
    )
    client = mlflow_client(store_settings)
    for part, value in (("loss", lambda s: 1.0 / (s + 1)), ("L_cl", float)):
        history = client.get_metric_history(run_id, f"consolidate/replay/{part}")
        assert [m.step for m in sorted(history, key=lambda m: m.step)] == list(range(1100))
        assert all(m.value == pytest.approx(value(m.step)) for m in history)
    only = client.get_metric_history(run_id, "train_task/loss")
    assert [(m.step, m.value, m.timestamp) for m in only] == [(4, 2.0, 1234)]


def test_a_loss_that_is_not_finite_is_shown(store_settings: Settings, tracker: Tracker) -> None:
    run_id = tracker.open_run("news-1")
    losses = [
        {"phase": "train_task", "step": 0, "loss": 1.0, "L_new": None},
        {"phase": "train_task", "step": 1, "loss": math.inf},
        {"phase": "train_task", "step": 2, "loss": math.nan},
    ]
    tracker.log_losses(run_id, losses, "train_task")
    tracker.log_losses(run_id, losses, "train_task")
    client = mlflow_client(store_settings)
    history = sorted(client.get_metric_history(run_id, "train_task/loss"), key=lambda m: m.step)
    assert [m.step for m in history] == [0, 1, 2]
    assert history[0].value == 1.0
    assert all(math.isnan(m.value) for m in history[1:])
    data = client.get_run(run_id).data
    assert data.tags["cfcre.non_finite_metric"] == "train_task/loss at step 1"
    assert "train_task/L_new" not in data.metrics


def test_an_evaluation_becomes_metrics_and_a_table(
    store_settings: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    run_id = tracker.open_run("news-1")
    tracker.log_evaluation(run_id, {**evaluation(2), "average_accuracy": 0.1})
    final = {**evaluation(3), "overall_accuracy": math.nan}
    tracker.log_evaluation(run_id, final)
    client = mlflow_client(store_settings)
    data = client.get_run(run_id).data
    assert data.metrics["average_accuracy"] == pytest.approx((0.7 + 0.8 + 0.9) / 3)
    assert [data.metrics[f"accuracy_task_{k:02d}"] for k in (1, 2, 3)] == pytest.approx(
        [0.7, 0.8, 0.9]
    )
    assert data.metrics["forgetting"] == 0.1
    assert data.metrics["negative_flip_rate"] == 0.05
    assert math.isnan(data.metrics["overall_accuracy"])
    table = read_json_artifact(store_settings, run_id, "evaluation/accuracy_matrix.json", tmp_path)
    assert table == {
        "columns": ["after_task", "task_01", "task_02", "task_03"],
        "data": [[1, 0.9, None, None], [2, 0.8, 0.9, None], [3, 0.7, 0.8, 0.9]],
    }
    stored = read_json_artifact(store_settings, run_id, "evaluation/evaluation.json", tmp_path)
    assert stored["overall_accuracy"] is None  # NaN is not JSON
    assert stored["per_relation"] == final["per_relation"]
    # MLflow's own reader finds it as a table.
    assert json.loads(data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "evaluation/accuracy_matrix.json", "type": "table"}
    ]


def test_stage_seconds_and_files(
    store_settings: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    run_id = tracker.open_run("news-1")
    tracker.log_stage_seconds(run_id, {"ingest": 0.5, "train_task": 12.25})
    picture = tmp_path / "matrix.png"
    picture.write_bytes(b"\x89PNG")
    report = tmp_path / "report.html"
    report.write_text("<p>", encoding="utf-8")
    tracker.log_figures(run_id, [picture])
    tracker.log_report(run_id, report)
    client = mlflow_client(store_settings)
    metrics = client.get_run(run_id).data.metrics
    assert metrics == {"seconds/ingest": 0.5, "seconds/train_task": 12.25}
    assert {a.path for a in client.list_artifacts(run_id)} >= {"figures", "report.html"}
    assert [a.path for a in client.list_artifacts(run_id, "figures")] == ["figures/matrix.png"]


def test_the_batch_is_an_input_once(store_settings: Settings, tracker: Tracker) -> None:
    run_id = tracker.open_run("news-1")
    batch = "ab" * 32
    for _ in range(2):
        tracker.log_dataset(
            run_id,
            batch_hash=batch,
            batch_name="b1",
            keys=["inbox/news/b1.jsonl"],
            rows={"read": 12, "accepted": 10, "quarantined": 2, "train": 6},
            relations={"born in": 5, "出生地": 5},
            stream="news",
        )
    inputs = mlflow_client(store_settings).get_run(run_id).inputs.dataset_inputs
    assert len(inputs) == 1
    dataset = inputs[0].dataset
    assert dataset.name == "b1"
    assert batch.startswith(dataset.digest)
    assert json.loads(dataset.source)["keys"] == ["inbox/news/b1.jsonl"]
    profile = json.loads(dataset.profile)
    assert profile["batch_sha256"] == batch
    assert profile["rows"]["quarantined"] == 2
    assert profile["relations"] == {"born in": 5, "出生地": 5}
    assert {t.key: t.value for t in inputs[0].tags} == {"mlflow.data.context": "training"}


def test_a_platform_may_name_the_run(
    store_settings: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow_client(store_settings)
    experiment = client.create_experiment(f"{store_settings.tracking.experiment}-given")
    given = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    fresh = Tracker(store_settings)
    assert fresh.prepare() == experiment
    assert fresh.open_run("news-1", params={"seed": 1}) == given
    assert fresh.open_run("news-1", params={"seed": 2}) == given
    tags = client.get_run(given).data.tags
    assert tags["cfcre.run_name"] == "news-1"
    assert tags["cfcre.param_changed.seed"] == "2"


def test_a_run_that_is_not_there_is_said(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(NotFoundError, match="0" * 32):
        Tracker(store_settings).open_run("news-1")
