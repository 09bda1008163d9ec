"""The command behind ``cfcre ui``."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from tracking_cases import free_port, serving

from cfcre.config import Settings, load_settings
from cfcre.errors import ConfigurationError
from cfcre.tracking.client import Tracker
from cfcre.tracking.ui import ui_command


def test_the_address_of_the_store_is_not_on_the_command_line(tmp_path: Path) -> None:
    uri = "postgresql://ann:secret@db/mlflow"
    settings = load_settings(home=tmp_path, environ={"MLFLOW_TRACKING_URI": uri})
    command = ui_command(settings, environ={"PATH": "/bin", "MLFLOW_TRACKING_URI": uri})
    assert "secret" not in " ".join(command.argv)
    assert command.env["MLFLOW_BACKEND_STORE_URI"] == uri
    assert "MLFLOW_TRACKING_URI" not in command.env
    assert command.env["PATH"] == "/bin"
    assert command.url == "http://127.0.0.1:5000"
    assert command.argv[command.argv.index("--host") + 1] == "127.0.0.1"


def test_a_server_has_a_ui_already(tmp_path: Path) -> None:
    environ = {"MLFLOW_TRACKING_URI": "https://ann:secret@mlflow"}
    settings = load_settings(home=tmp_path, environ=environ)
    with pytest.raises(ConfigurationError, match=r"https://ann:\*\*\*@mlflow"):
        ui_command(settings)


def test_a_wrong_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="70000"):
        ui_command(load_settings(home=tmp_path, environ={}), port=70000)


@pytest.mark.server
def test_the_ui_shows_the_runs_of_the_embedded_store(settings: Settings, tmp_path: Path) -> None:
    tracker = Tracker(settings)
    run_id = tracker.open_run("news-1")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    tracker.log_figures(run_id, [picture])
    command = ui_command(settings, port=free_port())
    with serving(command.argv, command.env, f"{command.url}/health", tmp_path / "log.txt"):
        ask = f"{command.url}/api/2.0/mlflow/runs/get?run_id={run_id}"
        with urllib.request.urlopen(ask, timeout=60) as answer:
            assert json.loads(answer.read())["run"]["info"]["run_name"] == "news-1"
        ask = f"{command.url}/get-artifact?path=figures/a.png&run_uuid={run_id}"
        with urllib.request.urlopen(ask, timeout=60) as answer:
            assert answer.read() == b"\x89PNG"
