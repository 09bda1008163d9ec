"""An HTTP server that speaks the part of the Kubernetes API that training uses, with faults.

It keeps TrainJobs as the real one does: a name is taken once, ``uid`` and ``resourceVersion`` are
set, a foreground deletion marks the object first. What a controller would do, the test does: it is
told of each new TrainJob and sets its status.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "a-token-for-tests"
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/cfcre/trainjobs"
PODS = "/api/v1/namespaces/cfcre/pods"

Fault = int | str
"""A status to answer instead; ``lost``: the work is done and the connection closed without an
answer; ``closed``: it is closed at once."""


class KubernetesApi:
    """The server; use it as a context manager.

    Attributes:
        jobs: TrainJobs by name.
        created: Every object that a create made, in order.
        faults: ``(method, fault)`` to come, in order; each is used once.
        requests: ``(method, path)`` seen.
        pods: What a list of pods gives.
        on_create: Told of a new TrainJob, in a thread of its own.
        slow_deletions: Reads for which a deleted TrainJob is still there.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.faults: list[tuple[str, Fault]] = []
        self.requests: list[tuple[str, str]] = []
        self.pods: list[dict[str, Any]] = []
        self.on_create: Callable[[dict[str, Any]], None] = lambda job: None
        self.slow_deletions = 0
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> KubernetesApi:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write_kubeconfig(self, path: Path, token: str = TOKEN) -> Path:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return path

    def condition(self, name: str, kind: str, reason: str = "", message: str = "") -> None:
        """What the controller writes into a TrainJob's status."""
        with self.lock:
            status = self.jobs[name].setdefault("status", {"conditions": []})
            status["conditions"] = [
                *(c for c in status["conditions"] if c["type"] != kind),
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason or f"Jobs{kind}",
                    "message": message,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                },
            ]

    def calls(self, method: str) -> int:
        return sum(m == method for m, path in self.requests if path.startswith(JOBS))

    def create(self, manifest: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return 409, _status(409, "AlreadyExists", f'trainjobs "{name}" already exists')
        manifest["metadata"] |= {"uid": str(uuid.uuid4()), "resourceVersion": "1"}
        self.jobs[name] = manifest
        self.created.append(manifest)
        threading.Thread(target=self.on_create, args=(manifest,), daemon=True).start()
        return 201, manifest

    def read(self, name: str) -> tuple[int, dict[str, Any]]:
        job = self.jobs.get(name)
        if job is not None and "deletionTimestamp" in job["metadata"]:
            self.slow_deletions -= 1
            if self.slow_deletions < 0:
                del self.jobs[name]
                job = None
        if job is None:
            return 404, _status(404, "NotFound", f'trainjobs "{name}" not found')
        return 200, job

    def delete(self, name: str) -> tuple[int, dict[str, Any]]:
        code, job = self.read(name)
        if code == 404:
            return code, job
        job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if self.slow_deletions <= 0:
            del self.jobs[name]
        return 200, job


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


def _handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, code: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _serve(self, method: str) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            with api.lock:
                api.requests.append((method, url.path))
                fault = next((f for f in api.faults if f[0] == method), None)
                if fault is not None:
                    api.faults.remove(fault)
                if fault is not None and fault[1] == "closed":
                    self.close_connection = True
                    return
                if fault is not None and isinstance(fault[1], int):
                    self._answer(fault[1], _status(fault[1], "Fault", f"fault {fault[1]}"))
                    return
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self._answer(401, _status(401, "Unauthorized", "Unauthorized"))
                    return
                code, answer = self._route(method, url.path, parse_qs(url.query), body)
            if fault is not None and fault[1] == "lost":
                self.close_connection = True
                return
            self._answer(code, answer)

        def _route(
            self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]
        ) -> tuple[int, dict[str, Any]]:
            if path == PODS and method == "GET":
                assert query["labelSelector"][0].startswith("jobset.sigs.k8s.io/jobset-name=")
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": api.pods}
            if path == JOBS and method == "POST":
                return api.create(body)
            name = path.removeprefix(f"{JOBS}/")
            if path.startswith(f"{JOBS}/") and method == "GET":
                return api.read(name)
            if path.startswith(f"{JOBS}/") and method == "DELETE":
                assert query.get("propagationPolicy") == ["Foreground"]
                return api.delete(name)
            return 404, _status(404, "NotFound", "the server could not find the resource")

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
