"""Stages as forks of a preloaded process: what a component sees, and who dies with whom."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_pipeline import descendants, kill, parent, running

from cfcre.operations.prefork import client, server

pytestmark = pytest.mark.skipif(not server.supported(), reason="the prefork server is Linux only")

COMPONENT = """
import os, signal, sys, time

def train_task(what: str) -> None:
    print("pids", os.getpid(), os.getppid(), flush=True)
    if what == "environment":
        print(os.environ.get("CFCRE_TEST_WORD"), os.environ.get("CFCRE_TEST_OTHER"), os.getcwd())
        print("on the error stream", file=sys.stderr)
        print("preloaded", "json.tool" in sys.modules)
    elif what == "exit":
        sys.exit(75)
    elif what == "words":
        sys.exit("no such thing")
    elif what == "raise":
        raise ValueError("this went wrong")
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "leave":
        os._exit(3)
    elif what == "sleep":
        time.sleep(120)

def claim(what: str) -> None:
    train_task(what)
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    # Longer than a socket's own path may be.
    folder = tmp_path / ("home of a user with a long name " * 5) / "run"
    folder.mkdir(parents=True)
    (folder / "component.py").write_text(COMPONENT)
    return folder


@pytest.fixture
def served(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = server.start(run_dir, ["kfp.dsl.executor_main", "json.tool"])
    yield process
    kill(process.pid)
    process.wait(timeout=30)


def command(run_dir: Path, what: str, function: str = "train_task") -> list[str]:
    inputs = {"parameterValues": {"what": what}}
    outputs = {"outputFile": str(run_dir / "output.json")}
    return [
        *(sys.executable, "-I", "-S", client.__file__, str(run_dir), sys.executable),
        *("-m", client.EXECUTOR, "--component_module_path", str(run_dir / "component.py")),
        *("--executor_input", json.dumps({"inputs": inputs, "outputs": outputs})),
        *("--function_to_execute", function),
    ]


def run(
    run_dir: Path, what: str, function: str = "train_task", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(run_dir, what, function),
        capture_output=True,
        text=True,
        cwd=run_dir,
        env={**os.environ, "_KFP_RUNTIME": "true", **environment},
        timeout=60,
    )


def pids(output: str) -> tuple[int, int]:
    (line,) = (line for line in output.splitlines() if line.startswith("pids "))
    own, above = line.split()[1:]
    return int(own), int(above)


def until(condition: Callable[[], object], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_fork_is_like_the_process_that_the_client_stands_for(
    run_dir: Path, served: subprocess.Popen[bytes]
) -> None:
    assert until(lambda: "preloaded True" in run(run_dir, "environment").stdout)
    done = run(run_dir, "environment", CFCRE_TEST_WORD="naïve 中")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pids(done.stdout)[1] == served.pid
    assert f"naïve 中 None {run_dir}" in done.stdout
    assert "preloaded True" in done.stdout
    assert "on the error stream" in done.stderr
    again = run(run_dir, "environment", CFCRE_TEST_OTHER="set")
    assert f"None set {run_dir}" in again.stdout, "nothing is left of the stage before"


@pytest.mark.parametrize(
    ("what", "code"),
    [("exit", 75), ("words", 1), ("raise", 1), ("killed", 137), ("leave", 3)],
)
@pytest.mark.usefixtures("served")
def test_a_fork_ends_as_an_ordinary_component_does(run_dir: Path, what: str, code: int) -> None:
    done = run(run_dir, what)
    alone = subprocess.run(
        ["sh", "-c", f"{shlex.join(command(run_dir, what)[5:])}; exit $?"],
        capture_output=True,
        text=True,
        cwd=run_dir,
        env={**os.environ, "_KFP_RUNTIME": "true"},
        timeout=60,
    )
    assert done.returncode == alone.returncode == code
    last = [text.stderr.strip().splitlines()[-1:] for text in (done, alone)]
    if what in {"words", "raise"}:
        assert last[0] == last[1] != []


def test_other_components_and_programs_start_as_ever(
    run_dir: Path, served: subprocess.Popen[bytes]
) -> None:
    done = run(run_dir, "environment", "claim")
    assert done.returncode == 0, done.stderr
    assert pids(done.stdout)[1] == os.getpid()
    program = [
        *command(run_dir, "")[:6],
        "-c",
        "import sys; print(sys.argv[1:], sys.flags.isolated)",
    ]
    printed = subprocess.run([*program, "a b"], capture_output=True, text=True, timeout=60)
    assert printed.stdout == "['a b'] 0\n"
    assert served.poll() is None


def test_without_a_server_a_stage_starts_as_an_ordinary_process(run_dir: Path) -> None:
    done = run(run_dir, "environment", CFCRE_TEST_WORD="w")
    assert done.returncode == 0, done.stderr
    assert pids(done.stdout)[1] == os.getpid()
    assert "preloaded False" in done.stdout


def test_a_server_that_is_gone_is_not_missed(
    run_dir: Path, served: subprocess.Popen[bytes]
) -> None:
    kill(served.pid)
    served.wait(timeout=30)
    done = run(run_dir, "environment")
    assert done.returncode == 0, done.stderr
    assert pids(done.stdout)[1] == os.getpid()


@pytest.mark.parametrize("victim", ["client", "server", "fork"])
def test_client_server_and_fork_do_not_outlive_each_other_at_work(
    run_dir: Path, served: subprocess.Popen[bytes], victim: str
) -> None:
    process = subprocess.Popen(
        command(run_dir, "sleep"),
        stdout=subprocess.DEVNULL,
        cwd=run_dir,
        env={**os.environ, "_KFP_RUNTIME": "true"},
    )
    assert until(lambda: descendants(served.pid))
    (fork,) = descendants(served.pid)
    kill({"client": process.pid, "server": served.pid, "fork": fork}[victim])
    assert process.wait(timeout=30) == (-signal.SIGKILL if victim == "client" else 137)
    assert until(lambda: not running([fork]))
    if victim == "server":
        served.wait(timeout=30)
    else:
        # The next stage is served as before.
        assert pids(run(run_dir, "environment").stdout)[1] == served.pid


def test_the_server_ends_with_the_process_that_started_it(run_dir: Path) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from cfcre.operations.prefork.server import start\n"
            "start(Path(sys.argv[1]), []); time.sleep(120)",
            str(run_dir),
        ]
    )
    assert until(lambda: descendants(starter.pid))
    (pid,) = descendants(starter.pid)
    assert parent(pid) == starter.pid
    kill(starter.pid)
    starter.wait(timeout=30)
    assert until(lambda: not running([pid]))


def test_a_request_that_is_none_changes_nothing(
    run_dir: Path, served: subprocess.Popen[bytes]
) -> None:
    with socket.socket(socket.AF_UNIX) as stranger, client.address(run_dir) as name:
        stranger.connect(name)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    done = run(run_dir, "environment")
    assert pids(done.stdout)[1] == served.pid


@pytest.mark.parametrize(
    "request_",
    [
        [1],
        {"arguments": [], "folder": "/"},
        {"arguments": "-m", "folder": "/", "environment": {}},
        {"arguments": [1], "folder": "/", "environment": {}},
    ],
    ids=["no object", "a part missing", "text for a list", "a number for text"],
)
def test_a_request_of_another_shape_changes_nothing_either(
    run_dir: Path, served: subprocess.Popen[bytes], request_: object
) -> None:
    def open_files() -> int:
        return len(os.listdir(f"/proc/{served.pid}/fd"))

    def refused() -> None:
        body = json.dumps(request_).encode("ascii")
        with socket.socket(socket.AF_UNIX) as stranger, client.address(run_dir) as name:
            stranger.connect(name)
            socket.send_fds(stranger, [client.LENGTH.pack(len(body))], [0, 1, 2])
            stranger.sendall(body)
            assert stranger.recv(1) == b""

    # An import may open a file; and a client ends before the server has closed its connection,
    # but the server answers the next one only after that.
    assert until(lambda: "preloaded True" in run(run_dir, "environment").stdout)
    refused()
    before = open_files()
    refused()
    assert open_files() == before
    done = run(run_dir, "environment")
    assert pids(done.stdout)[1] == served.pid


def test_the_socket_is_its_owners(run_dir: Path, served: subprocess.Popen[bytes]) -> None:
    assert (run_dir / client.SOCKET_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_what_is_preloaded_starts_no_thread(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork copies one thread: a lock that another one held would be held for ever."""
    # OpenBLAS (NumPy, SciPy) and jemalloc (Arrow) start threads at import; both end them before
    # a fork and start them after it by pthread_atfork.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    process = server.start(run_dir, [*server.PRELOADED, "json.tool"])
    try:
        assert until(lambda: "preloaded True" in run(run_dir, "environment").stdout, seconds=120)
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        names = [(thread / "comm").read_text().strip() for thread in threads]
        assert [name for name in names if name != "jemalloc_bg_thd"] == ["python"]
    finally:
        kill(process.pid)
        process.wait(timeout=30)
