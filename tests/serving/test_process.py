"""``cfcre serve`` as a platform runs it: a process, signals, a user that may write nowhere."""

from __future__ import annotations

import os
import shutil
import signal
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
    make_state,
    metric,
    post,
    process,
    program,
    register,
    row,
    until,
)

pytestmark = [pytest.mark.server, pytest.mark.slow]
USER = 10001
FAILURES = "cfcre_serve_reload_failures_total"
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
    settings = ["--set", "compute.threads=1", "--set", "serving.request_timeout_seconds=600"]
    settings += ["--set", "serving.shutdown_grace_seconds=600"]
    with process(["--home", home, *settings], {}, log) as (server, url):
        ready(url)
        # Enough work that the signal comes while it is being done.
        body = {"inputs": [row("so " * 200 + ROWS[0]["text"])] * 200}
        with ThreadPoolExecutor(6) as pool:
            waiting = [pool.submit(post, url, body) for _ in range(6)]
            until(lambda: metric(url, "cfcre_serve_requests_in_flight") == 6)
            server.send_signal(signal.SIGTERM)
            answers = [future.result(300) for future in waiting]
        assert [a.status_code for a in answers] == [200] * 6
        assert all(len(a.json()["predictions"]) == 200 for a in answers)
        assert server.wait(60) == 0
        with pytest.raises(requests.ConnectionError):
            get(url, "/ping")
    assert "stopped" in log.read_text()


# A mount namespace where only one folder can be written to, and a user who owns nothing else. That
# user may read everything, as it may in an image: Python itself can lie in root's home here.
CONFINED = f"""
mount --bind "$PLACE" "$PLACE" && mount -o remount,bind,ro / || exit 99
exec setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all,+dac_read_search \\
    --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user may reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_it_runs_on_a_read_only_root_as_a_user_without_a_home(
    store: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        # Coverage would write beside the sources, which this process must not.
        monkeypatch.delenv(name, raising=False)
    from cfcre.config import load_settings
    from cfcre.tracking.client import Tracker

    unshare = ["unshare", "--mount", "--propagation", "private"]
    before = [*unshare, "sh", "-c", CONFINED, "sh"]
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("only root can start a process as another user in a mount namespace")
    attempt = (
        "import os, sys; os.access(sys.argv[1], os.W_OK) and sys.exit(1); open(sys.argv[2], 'w')"
    )
    probe = program(
        "-c", attempt, "/", str(place / "probe"), before=before, environ={"PLACE": str(place)}
    )
    if (code := probe.wait(60)) == 99:
        pytest.skip("this machine does not let root make a mount namespace")
    assert code == 1, "nobody but root may write to the place yet"
    home, temporary = place / "home", place / "tmp"
    temporary.mkdir()
    tracker = Tracker(load_settings(home=home, environ={}))
    state = make_state(place / "state", store.encoder, 9)
    tracker.set_alias("champion", register(tracker, state, 9))
    for path in (home, temporary, *home.rglob("*")):
        os.chown(path, USER, USER)
    environ = {
        "PLACE": str(place),
        "CFCRE_HOME": str(home),
        "TMPDIR": str(temporary),
        "HOME": "/nonexistent",
        "CFCRE_SERVE_TOKEN": TOKEN,
    }
    log = place / "log.txt"
    with process([], environ, log, before=before, cwd="/") as (server, url):
        ready(url)
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}" in status
        answer = post(url, {"inputs": ROWS}, Authorization=f"Bearer {TOKEN}")
        assert answer.status_code == 200, answer.text
        assert answer.headers[HEADER] == "1"
        assert post(url, {"inputs": ROWS}).status_code == 401
        server.send_signal(signal.SIGTERM)
        assert server.wait(120) == 0
    written = log.read_text()
    assert TOKEN not in written and "a bearer token is asked for" in written
    assert "Traceback" not in written, written
    assert list(temporary.iterdir()) == []


def test_a_registry_that_hangs_and_comes_back(store: Any, tmp_path: Path) -> None:
    """A real tracking server that stops to answer while the model is served."""
    port = free_port()
    environ = {
        "MLFLOW_BACKEND_STORE_URI": store.settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": store.settings.tracking_uri,
    }
    argv = ["-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    registry = program(*argv, environ=environ, start_new_session=True)
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/health"), 120, "the tracking server")
        ours = {
            "CFCRE_HOME": str(tmp_path / "home"),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
        }
        arguments = ["--set", "serving.poll_seconds=0.2"]
        log = tmp_path / "log.txt"
        with process(arguments, ours, log) as (server, url):
            ready(url)
            before = metric(url, FAILURES)
            os.killpg(registry.pid, signal.SIGSTOP)
            until(lambda: metric(url, FAILURES) > before + 1, 120, "failures")
            assert post(url, {"inputs": ROWS}).headers[HEADER] == "1"
            assert get(url, "/ready").status_code == 200
            assert "reload failed, version 1 goes on" in log.read_text()
            os.killpg(registry.pid, signal.SIGCONT)
            store.promote("2")
            until(lambda: post(url, {"inputs": ROWS}).headers[HEADER] == "2", 120, "version 2")
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
