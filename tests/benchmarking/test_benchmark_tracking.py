"""A benchmark in MLflow: one parent, a child a method and order, the same ones when it goes on."""

from __future__ import annotations

import shutil

import pytest
from bench_cases import command

from cfcre.cli.main import main


@pytest.mark.slow
def test_parent_and_children_are_found_again(finished, fewrel_like, tiny_encoder, tmp_path):
    from mlflow import MlflowClient

    out, home = tmp_path / "out", tmp_path / "home"
    shutil.copytree(finished / "runs", out / "runs")
    # One run is missing: it is learned and logged as it goes, the others are logged as they are.
    (missing,) = (out / "runs").glob("finetune-order-1-*")
    missing.unlink()
    words = [w for w in command(fewrel_like, tiny_encoder, out) if w != "--no-mlflow"]
    uri = f"sqlite:///{home / 'mlflow.db'}"

    def logged():
        client = MlflowClient(uri)
        (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
        runs = client.search_runs([experiment.experiment_id])
        (parent,) = (r for r in runs if "mlflow.parentRunId" not in r.data.tags)
        children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(runs) == 1 + len(children)
        return client, parent, children

    assert main([*words, "--home", str(home)]) == 0
    client, parent, children = logged()
    named = {(r.data.params["variant"], r.data.params["order"]) for r in children}
    assert named == {(m, o) for m in ("finetune", "cf-cre") for o in "01"}
    assert {r.info.status for r in [parent, *children]} == {"FINISHED"}
    for child in children:
        history = client.get_metric_history(child.info.run_id, "accuracy")
        assert [m.step for m in sorted(history, key=lambda m: m.step)] == [1, 2, 3]
        assert child.data.params["method.name"] == child.data.params["method"]
    files = {f.path for f in client.list_artifacts(parent.info.run_id, "benchmark")}
    assert {"benchmark/table1.md", "benchmark/report.md", "benchmark/accuracy.png"} <= files
    points = {
        r.info.run_id: len(client.get_metric_history(r.info.run_id, "accuracy")) for r in children
    }
    assert main([*words, "--home", str(home)]) == 0
    _, again, children_again = logged()
    assert again.info.run_id == parent.info.run_id
    assert {r.info.run_id for r in children_again} == set(points)
    for run_id, count in points.items():
        assert len(client.get_metric_history(run_id, "accuracy")) == count


def test_a_store_that_does_not_answer_stops_no_learning(finished, tmp_path, monkeypatch):
    from cfcre.benchmarking.plan import PlannedRun, Variant
    from cfcre.benchmarking.study import RunResult
    from cfcre.errors import TrackingUnavailable
    from cfcre.operations import benchmark_tracking as module

    calls: list[str] = []
    away = [True]

    def open_run(connection, name, *more, parent=None):
        if parent is not None and away[0]:
            raise TrackingUnavailable("no answer")
        calls.append(f"open {'child' if parent else 'parent'}")
        return name

    monkeypatch.setattr(module, "Connection", lambda settings: None)
    monkeypatch.setattr(module.runs, "open_run", open_run)
    for name in ("log_metrics", "log_params", "log_files"):
        monkeypatch.setattr(module.runs, name, lambda *a, name=name: calls.append(name))
    monkeypatch.setattr(module.runs, "close_run", lambda c, run, status: calls.append(status))
    tracking = module.BenchmarkTracking(None, tmp_path, "x", {})
    result = RunResult(
        PlannedRun(Variant("m", "method", "m"), 0), "k", [], {}, {}, "c", False, False
    )
    tracking.run_done(result)
    with pytest.raises(TrackingUnavailable):
        tracking.finish([])
    assert calls == ["open parent"]
    away[0] = False
    tracking.finish([])
    assert calls == ["open parent", "open child", "log_params", "FINISHED", "log_files", "FINISHED"]
