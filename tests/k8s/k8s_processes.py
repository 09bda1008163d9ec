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
from k8s_bundle import K8S, Bundle

SCRIPTS = K8S / "base" / "mlflow" / "scripts"
HOST = "cfcre-mlflow.cfcre.svc.cluster.local:5000"
SECRETS = {
    "cfcre-mlflow-server/admin-username": "admin",
    "cfcre-mlflow-server/admin-password": "an-admin-of-the-tests",
    "cfcre-mlflow-server/flask-secret-key": "a-key-of-the-tests",
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
    """The tracking server as the overlay dev starts it, over SQLite and a folder."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder
        self.working = folder / "working"  # stands for the read-only root
        self.working.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # The % is no accident: a password in a URL is escaped, and MLflow's file interpolates.
        # SQLAlchemy decodes it, so the file's name has a space.
        self.secrets = SECRETS | {
            "cfcre-mlflow-server/backend-store-uri": f"sqlite:///{folder}/runs.db",
            "cfcre-mlflow-server/auth-database-uri": f"sqlite:///{folder}/users%20x.db",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, container: dict[str, Any], **more: str) -> subprocess.CompletedProcess[str]:
        variables = environment(self.bundle, container, self.secrets) | more
        given = [
            word.replace("/opt/scripts", str(SCRIPTS)).replace(
                "/etc/mlflow/auth.ini", str(self.folder / "auth.ini")
            )
            for word in words(container, variables)
        ]
        return subprocess.run(
            given, env=variables, cwd=self.working, capture_output=True, text=True, check=False
        )

    def migrate(self) -> None:
        spec = pod_spec(self.bundle, "Job", "cfcre-mlflow-migrate-0-1-0")
        for container in (*spec["initContainers"], *spec["containers"]):
            done = self.run(container)
            assert done.returncode == 0, done.stderr

    def start(self) -> None:
        spec = pod_spec(self.bundle, "Deployment", "cfcre-mlflow")
        (first,) = spec["initContainers"]
        done = self.run(first)
        assert done.returncode == 0, done.stderr
        (container,) = spec["containers"]
        variables = environment(self.bundle, container, self.secrets)
        variables["MLFLOW_AUTH_CONFIG_PATH"] = str(self.folder / "auth.ini")
        variables["MLFLOW_SERVER_ALLOWED_HOSTS"] += f",127.0.0.1:{self.port}"
        variables["MLFLOW_ARTIFACTS_DESTINATION"] = str(self.folder / "artifacts")
        changed = {"--port=5000": f"--port={self.port}", "--host=0.0.0.0": "--host=127.0.0.1"}
        given = [changed.get(word, word) for word in words(container, variables)]
        log = (self.folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            given, env=variables, cwd=self.working, stdout=log, stderr=log, start_new_session=True
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
