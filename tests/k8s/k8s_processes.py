"""Containers of the manifests as processes of this machine: variables, arguments, scripts."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from k8s_bundle import K8S, ROOT, Bundle

SCRIPTS = K8S / "base" / "mlflow" / "scripts"
ENTRYPOINT = ROOT / "mlflow" / "entrypoint.sh"
HOST = "cfcre-mlflow.cfcre.svc.cluster.local:5000"
SECRETS = {
    "cfcre-mlflow-server/admin-username": "admin",
    "cfcre-mlflow-server/admin-password": "an-admin-of-the-tests",
    "cfcre-mlflow-server/flask-secret-key": "a-key-of-the-tests-and-of-nobody-else",
    "cfcre-mlflow-client/username": "cfcre",
    "cfcre-mlflow-client/password": "a-client-of-the-tests",
    "cfcre-s3/AWS_ACCESS_KEY_ID": "testkey",
    "cfcre-s3/AWS_SECRET_ACCESS_KEY": "testsecret",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(
    bundle: Bundle, container: dict[str, Any], secrets: dict[str, str]
) -> dict[str, str]:
    """The variables of a container, as the kubelet would set them, over a bare environment."""
    given = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
    for whole in container.get("envFrom") or ():
        found = bundle.get("ConfigMap", whole["configMapRef"]["name"])
        assert found is not None
        given |= found["data"]
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "secretKeyRef" in source:
            reference = source["secretKeyRef"]
            given[variable["name"]] = secrets[f"{reference['name']}/{reference['key']}"]
        elif "configMapKeyRef" in source:
            reference = source["configMapKeyRef"]
            found = bundle.get("ConfigMap", reference["name"])
            assert found is not None
            given[variable["name"]] = found["data"][reference["key"]]
        else:
            given[variable["name"]] = expanded(variable["value"], given)
    return given


def expanded(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], text)


def words(container: dict[str, Any], variables: dict[str, str]) -> list[str]:
    """Command and arguments, with this Python for the image's."""
    given = [*container["command"], *(container.get("args") or ())]
    first = {"mlflow": [sys.executable, "-m", "mlflow"], "python": [sys.executable]}
    command = first.get(given[0], [given[0]])
    return [*command, *(expanded(word, variables) for word in given[1:])]


def ask(url: str, host: str, login: tuple[str, str] | None = None) -> int:
    headers = {"Host": host}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=20
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def pod_spec(bundle: Bundle, kind: str, name: str) -> dict[str, Any]:
    found = bundle.get(kind, name)
    assert found is not None
    spec = found["spec"]
    spec = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    inner: dict[str, Any] = spec["template"]["spec"]
    return inner


class TrackingServer:
    """The tracking server as its manifests start it, over SQLite and a folder."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder
        self.working = folder / "working"  # stands for the read-only root
        self.working.mkdir()
        (folder / "tmp").mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # The % is no accident: a password in a URL is escaped, and MLflow's file interpolates.
        # SQLAlchemy decodes it, so the file's name has a space.
        self.secrets = SECRETS | {
            "cfcre-mlflow-server/backend-store-uri": f"sqlite:///{folder}/runs.db",
            "cfcre-mlflow-server/auth-database-uri": f"sqlite:///{folder}/users%20x.db",
        }
        self.process: subprocess.Popen[bytes] | None = None
        # The image's commands, by this Python.
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, start in (("mlflow", f"{sys.executable} -m mlflow"), ("python3", sys.executable)):
            program = self.programs / name
            program.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
            program.chmod(0o755)

    def variables(self, container: dict[str, Any]) -> dict[str, str]:
        given = environment(self.bundle, container, self.secrets)
        given["PATH"] = f"{self.programs}:{given['PATH']}"
        given |= {name: str(self.folder / "tmp") for name in ("HOME", "TMPDIR") if name in given}
        return given

    def words(self, container: dict[str, Any], variables: dict[str, str]) -> list[str]:
        places = {"/opt/mlflow/entrypoint.sh": str(ENTRYPOINT), "/opt/scripts": str(SCRIPTS)}
        given = words(container, variables)
        for there, here in places.items():
            given = [word.replace(there, here) for word in given]
        return given

    def run(self, container: dict[str, Any], **more: str) -> subprocess.CompletedProcess[str]:
        variables = self.variables(container) | more
        return subprocess.run(
            self.words(container, variables),
            env=variables,
            cwd=self.working,
            capture_output=True,
            text=True,
            check=False,
        )

    def migrate(self) -> None:
        (container,) = pod_spec(self.bundle, "Deployment", "cfcre-mlflow")["initContainers"]
        done = self.run(container)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        (container,) = pod_spec(self.bundle, "Deployment", "cfcre-mlflow")["containers"]
        variables = self.variables(container)
        variables["CFCRE_MLFLOW_HOST"] = "127.0.0.1"
        variables["CFCRE_MLFLOW_PORT"] = str(self.port)
        variables["MLFLOW_SERVER_ALLOWED_HOSTS"] += f",127.0.0.1:{self.port}"
        variables["MLFLOW_ARTIFACTS_DESTINATION"] = str(self.folder / "artifacts")
        log = (self.folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            self.words(container, variables),
            env=variables,
            cwd=self.working,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        log = self.folder / "server.log"
        for _ in range(1200):
            assert self.process.poll() is None, log.read_text()
            try:
                if ask(f"{self.url}/health", "kubelet") == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        pytest.fail(f"the server did not answer: {log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 15)
            self.process.wait(30)

    def ensure_user(self, **secrets: str) -> subprocess.CompletedProcess[str]:
        spec = pod_spec(self.bundle, "CronJob", "cfcre-mlflow-client-user")
        (container,) = spec["containers"]
        return self.run(container, MLFLOW_TRACKING_URI=self.url, **secrets)
