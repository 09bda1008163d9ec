"""``cfcre serve`` as a platform runs it: a process, signals, a user that may write nowhere."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from serving_cases import (
    HEADER,
    ROWS,
    free_port,
    get,
    metric,
    post,
    process,
    program,
    row,
    until,
)

pytestmark = [pytest.mark.server, pytest.mark.slow]
USER = 10001
TOKEN = "correct-horse-battery"


def ready(url: str) -> None:
    def answer() -> bool:
        try:
            return get(url, "/ready").status_code == 200
        except requests.ConnectionError:
            return False

    until(answer, 120, "readiness")


def test_sigterm_finishes_what_is_in_flight_and_ends_with_zero(store: Any, tmp_path: Path) -> None:
    home = str(store.settings.home)
    log = tmp_path / "log.txt"
    settings = ["--set", "compute.threads=1", "--set", "serving.max_batch_rows=64"]
    with process(["--home", home, *settings], {}, log) as (server, url):
        ready(url)
        # Enough work that the signal comes while it is being done.
        body = {"inputs": [row("so " * 200 + ROWS[0]["text"])] * 900}
        with ThreadPoolExecutor(6) as pool:
            waiting = [pool.submit(post, url, body) for _ in range(6)]
            until(lambda: metric(url, "cfcre_serve_requests_in_flight") == 6)
            server.send_signal(signal.SIGTERM)
            answers = [future.result(120) for future in waiting]
        assert [a.status_code for a in answers] == [200] * 6
        assert all(len(a.json()["predictions"]) == 900 for a in answers)
        assert server.wait(60) == 0
        with pytest.raises(requests.ConnectionError):
            get(url, "/ping")
    assert "stopped" in log.read_text()


def test_with_a_delay_it_goes_on_accepting_but_is_not_ready(store: Any, tmp_path: Path) -> None:
    home = str(store.settings.home)
    arguments = ["--home", home, "--set", "serving.shutdown_delay_seconds=600"]
    with process(arguments, {}, tmp_path / "log.txt") as (server, url):
        ready(url)
        server.send_signal(signal.SIGTERM)
        until(lambda: get(url, "/ready").status_code == 503)
        assert get(url, "/ping").status_code == 200
        assert post(url, {"inputs": ROWS}).status_code == 200
        # A second signal is an operator who does not want to wait.
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_what_outlasts_the_grace_period_is_cut_off(store: Any, tmp_path: Path) -> None:
    home = str(store.settings.home)
    changes = ("shutdown_grace_seconds=1", "body_timeout_seconds=600")
    arguments = ["--home", home, *(f"--set=serving.{change}" for change in changes)]
    with process(arguments, {}, tmp_path / "log.txt") as (server, url):
        ready(url)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 30) as client:
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            until(lambda: metric(url, "cfcre_serve_requests_in_flight") == 1)
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user may reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_it_runs_as_a_user_who_may_write_only_home_and_temporary_files(
    store: Any, place: Path
) -> None:
    """As in the image: another user, a HOME that does not exist, two folders to write to."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process as another user")
    probe = program("-c", "import cfcre.cli.main, mlflow, torch", user=USER, group=USER)
    if probe.wait(300) != 0:
        pytest.skip("another user cannot read this installation")
    # Artifacts where that user can read them: an embedded store of its own.
    from serving_cases import make_state, register

    from cfcre.config import load_settings
    from cfcre.tracking.client import Tracker

    home, temporary = place / "home", place / "tmp"
    temporary.mkdir()
    tracker = Tracker(load_settings(home=home, environ={}))
    state = make_state(place / "state", store.encoder, 9)
    tracker.set_alias("champion", register(tracker, state, 9))
    for path in (home, temporary, *home.rglob("*")):
        os.chown(path, USER, USER)
    before = _writable_by(USER)
    environ = {
        "CFCRE_HOME": str(home),
        "TMPDIR": str(temporary),
        "HOME": "/nonexistent",
        "CFCRE_SERVE_TOKEN": TOKEN,
    }
    with process([], environ, place / "log.txt", user=USER, group=USER, cwd="/") as (server, url):
        ready(url)
        answer = post(url, {"inputs": ROWS}, Authorization=f"Bearer {TOKEN}")
        assert answer.status_code == 200, answer.text
        assert answer.headers[HEADER] == "1"
        assert post(url, {"inputs": ROWS}).status_code == 401
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert _writable_by(USER) == before
    log = (place / "log.txt").read_text()
    assert TOKEN not in log and "a bearer token is asked for" in log
    assert "Traceback" not in log, log


def _writable_by(user: int) -> set[str]:
    """Files that a user owns in the folders that everybody may write to."""
    found = set()
    for root in ("/tmp", "/var/tmp", "/dev/shm"):
        for path in Path(root).glob("*"):
            if path.lstat().st_uid == user:
                found.add(str(path))
    return found


def test_a_registry_that_dies_and_comes_back(store: Any, tmp_path: Path) -> None:
    """A real tracking server, artifacts through it, killed while the model answers."""
    port = free_port()
    environ = {
        "MLFLOW_BACKEND_STORE_URI": store.settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": store.settings.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    argv = ["-m", "mlflow", "server", "--workers", "1", "--port", str(port)]

    def start() -> Any:
        started = program(*argv, environ=environ, start_new_session=True)
        until(lambda: _answers(f"http://127.0.0.1:{port}/health"), 120, "the tracking server")
        return started

    registry = start()
    try:
        ours = {
            "CFCRE_HOME": str(tmp_path / "home"),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        arguments = ["--set", "serving.poll_seconds=0.2"]
        with process(arguments, ours, tmp_path / "log.txt") as (server, url):
            ready(url)
            assert post(url, {"inputs": ROWS}).headers[HEADER] == "1"
            os.killpg(registry.pid, signal.SIGKILL)
            registry.wait(30)
            until(lambda: metric(url, "cfcre_serve_reload_failures_total") > 2, 120)
            assert post(url, {"inputs": ROWS}).headers[HEADER] == "1"
            assert get(url, "/ready").status_code == 200
            store.promote("2")
            registry = start()
            until(lambda: post(url, {"inputs": ROWS}).headers[HEADER] == "2", 120, "version 2")
            log = (tmp_path / "log.txt").read_text()
            assert log.count("reload failed, version 1 goes on") == 1, log
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
    finally:
        os.killpg(registry.pid, signal.SIGKILL)
        registry.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--tracking-uri", "file:///mlruns"], {}, "MLflow's file store"),
        ([], {"CFCRE_SERVE_TOKEN": "short"}, "CFCRE_SERVE_TOKEN has 5 characters"),
        ([], {"CFCRE_SERVE_TOKEN": ""}, "CFCRE_SERVE_TOKEN has 0 characters"),
        (["--host", "192.0.2.1"], {}, "cannot listen on 192.0.2.1 port 0"),
        (["--set", "serving.max_rows=0"], {}, "serving.max_rows"),
    ],
)
def test_what_cannot_work_is_said_at_once(
    arguments: list[str],
    environ: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from cfcre.cli.main import main

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--home", str(tmp_path), "--port", "0", *arguments]) == 2
    assert message in capsys.readouterr().err
