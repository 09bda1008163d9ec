"""The main job as in a cluster: a read-only root, a home and /tmp, and a tracking server over HTTP.

The server is the one of the image (mlflow/entrypoint.sh), with logins; the job's user is no
administrator, and everything goes through the server's artifact proxy.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from read_only import ROOT, Container
from tracking_server import ADMIN, Server, environment, start

pytestmark = [pytest.mark.slow, pytest.mark.server]

USER = ("cfcre", "another 12 or more")


@dataclass
class Job:
    container: Container
    server: Server
    artifacts: Path


@pytest.fixture(scope="module")
def job(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder: Path,
    relation_rows: Callable[..., list],
) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("main-job")
    server = start(environment(folder / "server"))
    try:
        body = json.dumps({"username": USER[0], "password": USER[1]}).encode()
        made = server.ask("/api/2.0/mlflow/users/create", ADMIN, method="POST", body=body)
        assert made.status == 200, made.text
        container = Container(
            folder / "container",
            {
                "MLFLOW_TRACKING_URI": server.address,
                "MLFLOW_TRACKING_USERNAME": USER[0],
                "MLFLOW_TRACKING_PASSWORD": USER[1],
            },
        )
        settings = {
            "encoder": {"name": str(tiny_encoder), "max_length": 64},
            "method": {"epoch1": 2, "projection_hidden": 32, "projection_size": 16},
            "compute": {"precision": "float32", "threads": 1},
            "gate": {"min_new_task_accuracy": 0.0},
        }
        (container.home / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        batch = container.home / "rows.jsonl"
        rows = relation_rows(["founded", "born in"], 30)
        batch.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
        container.cfcre("submit", str(batch), "--stream", "news")
        container.cfcre("watch", "--stream", "news", "--until-idle")
        yield Job(container, server, folder / "server" / "artifacts")
    finally:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


def test_nothing_but_home_and_tmp_could_be_written(job: Job) -> None:
    if job.container.why_not:
        pytest.skip(job.container.why_not)
    for folder in (ROOT, Path(sys.prefix), Path("/"), Path("/tmp")):
        done = job.container.run("sh", "-c", f'touch "{folder}/cfcre-probe"')
        (folder / "cfcre-probe").unlink(missing_ok=True)
        assert done.returncode != 0 and "Read-only file system" in done.stderr, folder
    for folder in (job.container.home, job.container.tmp):
        assert job.container.run("sh", "-c", f'touch "{folder}/probe"').returncode == 0


def test_the_version_is_on_the_server(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    (version,) = json.loads(job.container.cfcre("models", "--json"))["versions"]
    assert "champion" in version["aliases"]

    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    client = MlflowClient(job.server.address, job.server.address)
    (model,) = client.search_registered_models()
    champion = client.get_model_version_by_alias(model.name, "champion")
    run = client.get_run(champion.run_id)
    assert run.info.status == "FINISHED" and run.data.metrics
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    # Weights and memory came through the proxy into the server's own place.
    kept = {path.name for path in job.artifacts.rglob("*") if path.is_file()}
    assert "MLmodel" in kept and any(name.endswith(".safetensors") for name in kept)
    # Nothing of MLflow was kept in the job's home: there is no second store by accident.
    assert not list(job.container.home.rglob("mlflow.db"))
    assert not list(job.container.home.rglob("mlruns"))


def test_the_champion_is_fetched_and_answers(job: Job) -> None:
    assert "Ada" in job.container.cfcre("predict", "[Ada] founded {Velmora}.")


def test_no_login_no_work(job: Job) -> None:
    job.container.environment["MLFLOW_TRACKING_PASSWORD"] = "not the password"
    try:
        done = job.container.run(sys.executable, "-m", "cfcre.cli.main", "models")
    finally:
        job.container.environment["MLFLOW_TRACKING_PASSWORD"] = USER[1]
    assert done.returncode != 0
    assert "not the password" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
