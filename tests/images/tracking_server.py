"""The tracking server as its container starts it: the same script, without a container."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ROOT / "mlflow" / "entrypoint.sh"
ADMIN = ("operator", "for tests: 50 % of it")
FLASK_KEY = "0123456789abcdef0123456789abcdef"


def programs(folder: Path) -> Path:
    """A folder with ``python3`` and ``mlflow`` of this test's Python, as the image has on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    for name, command in {"python3": python, "mlflow": f"{python} -m mlflow"}.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)
    return folder


def environment(folder: Path, **changes: str | None) -> dict[str, str]:
    """The container's environment over SQLite and folders; None removes a variable."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    values: dict[str, str | None] = {
        "PATH": f"{programs(folder / 'bin')}:{os.defpath}",
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "tmp"),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/tracking.db",
        "CFCRE_MLFLOW_AUTH_DATABASE_URI": f"sqlite:///{folder}/users.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,mlflow.example.org",
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": FLASK_KEY,
        "CFCRE_MLFLOW_HOST": "127.0.0.1",
        "CFCRE_MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ENTRYPOINT, *arguments],
        env=environment,
        cwd=environment["TMPDIR"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@dataclass
class Answer:
    status: int
    text: str


@dataclass
class Server:
    """A running server; requests to it with or without a login."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def ask(
        self,
        path: str,
        login: tuple[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
        host: str | None = None,
    ) -> Answer:
        request = urllib.request.Request(self.address + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if login is not None:
            token = b64encode(":".join(login).encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        if host is not None:
            request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read().decode())

    def wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if self.ask("/health").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")


def start(environment: dict[str, str]) -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = Path(environment["TMPDIR"]).parent / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [ENTRYPOINT, "serve"],
            env={**environment, "CFCRE_MLFLOW_PORT": str(port)},
            cwd=environment["TMPDIR"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    server.wait()
    return server
