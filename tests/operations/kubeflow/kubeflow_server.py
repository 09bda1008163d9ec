"""A server that speaks the part of the KFP v2beta1 API that cfcre uses, for the real client.

Requests are parsed and answers written with the client's own generated models, so that a field
that the client does not know is not answered, and one that the API does not know is refused, as
Kubeflow's server refuses it. Faults are queued: each is used once, by the next request it fits.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

PREFIX = "/apis/v2beta1/"
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What happens to one request.

    Attributes:
        method: Of the request.
        collection: runs, recurringruns or experiments.
        status: Answered instead; 0 closes the connection without an answer.
        done: Whether the request takes effect all the same.
        then: Called afterwards.
    """

    method: str
    collection: str
    status: int
    done: bool = False
    then: Callable[[], object] | None = None


@dataclass
class KubeflowServer:
    """State of the server, and what the test wants of it."""

    namespaces: set[str] = field(default_factory=lambda: {"cfcre"})
    tokens: set[str] | None = None
    page_limit: int = 200
    runs: dict[str, api.V2beta1Run] = field(default_factory=dict)
    recurringruns: dict[str, api.V2beta1RecurringRun] = field(default_factory=dict)
    experiments: dict[str, api.V2beta1Experiment] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    closed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.client = api.ApiClient(api.Configuration())
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.closed = True  # for connections that are kept open
        self.http.shutdown()
        self.http.server_close()

    def names(self) -> list[str]:
        return [run.display_name for run in self.runs.values()]

    def count(self, method: str, collection: str) -> int:
        return sum((m, c) == (method, collection) for m, c, _ in self.requests)

    def end(self, name: str, state: str, *, archived: bool = False) -> None:
        (run,) = (r for r in self.runs.values() if r.display_name == name)
        run.state, run.finished_at = state, datetime.now(UTC)
        if archived:
            run.storage_state = "ARCHIVED"

    def parameters(self, name: str) -> dict[str, Any]:
        (run,) = (r for r in self.runs.values() if r.display_name == name)
        found: dict[str, Any] = run.runtime_config.parameters
        return found

    # What each request does.

    def post(self, collection: str, body: dict[str, Any]) -> Any:
        model = {
            "runs": "V2beta1Run",
            "recurringruns": "V2beta1RecurringRun",
            "experiments": "V2beta1Experiment",
        }[collection]
        self._known_fields(body, model)
        made = self.client.deserialize(SimpleNamespace(data=json.dumps(body)), model)
        if not made.display_name:
            raise Refused(400, f"{model}: display_name is empty")
        made.created_at = datetime.now(UTC)
        if collection == "experiments":
            self._check_namespace(made.namespace)
            if any(
                e.display_name == made.display_name and e.namespace == made.namespace
                for e in self.experiments.values()
            ):
                raise Refused(409, f"Already exist error: experiment {made.display_name}")
            made.experiment_id = str(uuid.uuid4())
            self.experiments[made.experiment_id] = made
            return made
        if made.experiment_id not in self.experiments:
            raise Refused(404, f"Experiment {made.experiment_id} not found")
        self._check_pipeline(made)
        if collection == "runs":
            made.run_id, made.state = str(uuid.uuid4()), "PENDING"
            made.storage_state = "AVAILABLE"
            self.runs[made.run_id] = made
        else:
            cron = made.trigger.cron_schedule.cron
            if len(cron.split()) != 6:
                raise Refused(400, f"Invalid cron: {cron}")
            made.recurring_run_id, made.status = str(uuid.uuid4()), "ENABLED"
            self.recurringruns[made.recurring_run_id] = made
        return made

    def list(self, collection: str, query: dict[str, str]) -> Any:
        namespace = query.get("namespace")
        self._check_namespace(namespace)
        items = [i for i in getattr(self, collection).values() if self._in(i, namespace)]
        for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
            if set(predicate) != {"operation", "key", "stringValue"}:
                raise Refused(400, f"Invalid predicate {predicate}")
            key, wanted = predicate["key"], predicate["stringValue"]
            if key != "display_name":
                raise Refused(400, f"Invalid filter key {key}")
            if predicate["operation"] == "EQUALS":
                items = [i for i in items if i.display_name == wanted]
            elif predicate["operation"] == "IS_SUBSTRING":
                # The database's LIKE: case is ignored and an underscore is any character.
                items = [i for i in items if _like(wanted, i.display_name)]
            else:
                raise Refused(400, f"Invalid operation {predicate['operation']}")
        start = int(query.get("page_token") or 0)
        size = min(int(query.get("page_size") or 20), self.page_limit)
        page = items[start : start + size]
        more = str(start + size) if start + size < len(items) else None
        if collection == "experiments":
            return api.V2beta1ListExperimentsResponse(experiments=page, next_page_token=more)
        if collection == "runs":
            return api.V2beta1ListRunsResponse(runs=page, next_page_token=more)
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=page, next_page_token=more)

    def get(self, collection: str, identity: str) -> Any:
        try:
            return getattr(self, collection)[identity]
        except KeyError:
            raise Refused(404, f"{collection} {identity} not found") from None

    def delete(self, collection: str, identity: str) -> Any:
        self.get(collection, identity)
        del getattr(self, collection)[identity]
        return {}

    def _in(self, item: Any, namespace: str | None) -> bool:
        if isinstance(item, api.V2beta1Experiment):
            return item.namespace == namespace
        return self.experiments[item.experiment_id].namespace == namespace

    def _check_namespace(self, namespace: str | None) -> None:
        if self.namespaces and namespace not in self.namespaces:
            raise Refused(403, f"User is not authorized for namespace '{namespace}'")
        if not self.namespaces and namespace:
            raise Refused(400, "In single-user mode, the namespace must be empty")

    def _check_pipeline(self, made: Any) -> None:
        package = made.pipeline_spec
        spec = pipeline_spec_pb2.PipelineSpec()
        json_format.ParseDict(package["pipeline_spec"], spec)
        json_format.ParseDict(package["platform_spec"], pipeline_spec_pb2.PlatformSpec())
        known = set(spec.root.input_definitions.parameters)
        given = set(made.runtime_config.parameters)
        if not given <= known:
            raise Refused(400, f"parameters {sorted(given - known)} are not in the pipeline")

    def _known_fields(self, body: Any, model: str) -> None:
        kind = getattr(api, model, None)
        if kind is None or not isinstance(body, dict) or not kind.attribute_map:
            return
        wire = {wire: name for name, wire in kind.attribute_map.items()}
        for name, value in body.items():
            if name not in wire:
                raise Refused(400, f"unknown field {name!r} in {model}")
            self._known_fields(value, kind.openapi_types[wire[name]])


def _like(pattern: str, text: str) -> bool:
    import re

    loose = "".join("." if c == "_" else ".*" if c == "%" else re.escape(c) for c in pattern)
    return re.search(loose, text, re.IGNORECASE) is not None


class _Handler(BaseHTTPRequestHandler):
    server_state: KubeflowServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        state, parts = self.server_state, urlsplit(self.path)
        assert parts.path.startswith(PREFIX), self.path
        collection, _, identity = parts.path.removeprefix(PREFIX).partition("/")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        with state.lock:
            fault = next(
                (f for f in state.faults if (f.method, f.collection) == (method, collection)), None
            )
            if fault is not None:
                state.faults.remove(fault)
            status, answer = self._do(method, collection, identity, query, body, fault)
            state.requests.append((method, collection, status))
            if fault is not None and fault.then is not None:
                fault.then()
        if status == 0 or state.closed:
            # No answer at all, as from a proxy or a server that was killed.
            self.close_connection = True
            return
        data = json.dumps(state.client.sanitize_for_serialization(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _do(
        self,
        method: str,
        collection: str,
        identity: str,
        query: dict[str, str],
        body: dict[str, Any],
        fault: Fault | None,
    ) -> tuple[int, Any]:
        state = self.server_state
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            if state.tokens is not None and token not in state.tokens:
                raise Refused(401, "Unauthenticated: request header error: token is expired")
            answer: Any = None
            if fault is None or fault.done:
                if method == "POST":
                    answer = state.post(collection, body)
                elif method == "DELETE":
                    answer = state.delete(collection, identity)
                elif identity:
                    answer = state.get(collection, identity)
                else:
                    answer = state.list(collection, query)
            if fault is not None:
                if fault.status == 0:
                    return 0, None
                raise Refused(fault.status, "as the test wants it")
            return 200, answer
        except Refused as refusal:
            message = str(refusal)
            code = CODES.get(refusal.status, 2)
            return refusal.status, {
                "error": message,
                "code": code,
                "message": message,
                "details": [],
            }
