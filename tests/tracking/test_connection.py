"""Which stores are accepted, how a fresh one is prepared, and what a failure says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from tracking_cases import free_port

from cfcre.config import Settings, load_settings
from cfcre.errors import (
    CfcreError,
    ConfigurationError,
    NotFoundError,
    RetryableError,
    TrackingUnavailable,
)
from cfcre.tracking.client import Tracker
from cfcre.tracking.connection import Connection, artifact_root_of, quote_filter
from cfcre.tracking.faults import redact, tracking_errors

PREPARE = """
import sys
from cfcre.config import load_settings
from cfcre.tracking.client import Tracker
tracker = Tracker(load_settings(home=sys.argv[1], environ={}))
print(tracker.prepare(), tracker.open_run("one-name"))
"""


def settings_of(home: Path, uri: str) -> Settings:
    return load_settings(home=home, environ={"MLFLOW_TRACKING_URI": uri})


def test_processes_that_prepare_a_fresh_store_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=tmp_path,
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [p.returncode for p in processes] == [0, 0, 0], outputs
    assert len({out for out, _ in outputs}) == 1  # the same experiment and the same run
    assert [err for _, err in outputs] == ["", "", ""]
    with sqlite3.connect(home / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (1,)
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("uri", ["./mlruns", "/srv/mlruns", "file:///srv/mlruns", "s3://b/x"])
def test_the_file_store_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite"):
        Tracker(settings_of(tmp_path, uri))


def test_the_environment_keeps_its_tracking_uri(settings: Settings) -> None:
    Tracker(settings).prepare()
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_artifact_root_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    embedded = load_settings(home="relative", environ={})
    assert artifact_root_of(embedded) == (tmp_path / "relative" / "mlartifacts").as_uri()
    database = settings_of(Path("relative"), "postgresql://db/mlflow")
    assert artifact_root_of(database) == (tmp_path / "relative" / "mlartifacts").as_uri()
    assert artifact_root_of(settings_of(Path("relative"), "https://mlflow")) is None
    named = load_settings(overrides={"tracking.artifact_root": "arts"}, environ={})
    assert artifact_root_of(named) == (tmp_path / "arts").as_uri()
    bucket = load_settings(overrides={"tracking.artifact_root": "s3://b/x"}, environ={})
    assert artifact_root_of(bucket) == "s3://b/x"


def test_the_experiment_uses_that_root(settings: Settings) -> None:
    from mlflow import MlflowClient

    identity = Tracker(settings).prepare()
    experiment = MlflowClient(settings.tracking_uri).get_experiment(identity)
    assert experiment.name == "cfcre"
    assert experiment.artifact_location == (settings.home.absolute() / "mlartifacts").as_uri()


def test_a_deleted_experiment_is_said(settings: Settings) -> None:
    connection = Connection(settings)
    connection.client.delete_experiment(connection.experiment_id)
    with pytest.raises(ConfigurationError, match="restore"):
        Tracker(settings).prepare()


def test_an_unknown_given_experiment_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.raises(NotFoundError, match="4711"):
        Tracker(settings).prepare()


def test_a_server_that_is_away_is_worth_a_retry_and_keeps_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://ann:se%40cret@127.0.0.1:{free_port()}"
    with pytest.raises(TrackingUnavailable) as caught:
        Tracker(settings_of(tmp_path, uri)).prepare()
    everything = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert "se%40cret" not in everything
    assert "se@cret" not in everything
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(CfcreError) as caught:
        Tracker(load_settings(home=tmp_path, environ={})).prepare()
    assert "mlflow.db" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:secret@host/x", "http://ann:***@host/x"),
        ("postgresql+psycopg://ann:s:e@db:5432/m", "postgresql+psycopg://ann:***@db:5432/m"),
        ("http://host/x", "http://host/x"),
        ("sqlite:////home/x/mlflow.db", "sqlite:////home/x/mlflow.db"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(f"cannot reach {text}, twice {text}") == (f"cannot reach {shown}, twice {shown}")


def test_a_password_outside_its_url_is_redacted_too() -> None:
    assert redact("login of ann with se@cret", "http://ann:se%40cret@host") == (
        "login of ann with ***"
    )


def test_each_refusal_has_its_class() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos import databricks_pb2 as codes

    cases = {
        codes.RESOURCE_DOES_NOT_EXIST: NotFoundError,
        codes.UNAUTHENTICATED: ConfigurationError,
        codes.PERMISSION_DENIED: ConfigurationError,
        codes.TEMPORARILY_UNAVAILABLE: TrackingUnavailable,
        codes.INTERNAL_ERROR: TrackingUnavailable,
        codes.INVALID_PARAMETER_VALUE: CfcreError,
    }
    for code, expected in cases.items():
        with pytest.raises(CfcreError) as caught, tracking_errors("try", "http://h"):
            raise MlflowException("no", error_code=code)
        assert type(caught.value) is expected
    with pytest.raises(RetryableError), tracking_errors("try", "sqlite:///x"):
        raise OSError(28, "No space left on device")
    with pytest.raises(ZeroDivisionError), tracking_errors("try", "sqlite:///x"):
        _ = 1 / 0  # a fault of this program stays what it is


def test_a_value_with_a_quote_can_not_reach_the_filter() -> None:
    assert quote_filter("a b") == "'a b'"
    with pytest.raises(ConfigurationError, match="quote"):
        quote_filter("x' or tags.`a` = 'b")


def test_importing_the_tracker_is_cheap() -> None:
    code = "import sys, cfcre.tracking.client, cfcre.tracking.ui; print('mlflow' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.strip() == "False"
