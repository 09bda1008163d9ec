"""Helpers of the serving tests: learner states, servers in threads and processes, clients."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn

from cfcre.config import Settings, load_settings
from cfcre.serving.server import Server
from cfcre.tracking.client import Tracker

RELATIONS = ["born in", "owns", "wrote", "founded"]
HEADER = "X-Cfcre-Model-Version"


def row(text: str = "long ago ada founded riga in spring", head: str = "ada", tail: str = "riga"):
    """A row to predict, with the spans of two names in it."""
    start, end = text.index(head), text.index(tail)
    return {
        "text": text,
        "head": {"start": start, "end": start + len(head)},
        "tail": {"start": end, "end": end + len(tail)},
    }


ROWS = [
    row(),
    row("hugo penned vienna, as reported", "vienna", "hugo"),
    row("by all accounts greta [E11] owns \x00 pallas \N{GRINNING FACE} 生于", "greta", "pallas"),
]


def make_state(folder: Path, encoder: Path, seed: int, *, nan: bool = False) -> Path:
    """Write a consolidated learner state whose random prototypes depend on the seed."""
    import torch

    from cfcre.data.schema import RelationExample, Span
    from cfcre.methods.state import LearnerState

    settings = load_settings(
        home=folder.parent,
        environ={},
        overrides={"encoder.name": str(encoder), "encoder.max_length": 64},
    )
    state = LearnerState.fresh(settings)
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.randn(len(RELATIONS), state.encoder.size, generator=generator)
    state.prototypes = torch.nn.functional.normalize(prototypes)
    if nan:
        state.prototypes[:] = float("nan")
    state.relation_embeddings = prototypes
    # Every version names its relations after itself, so that an answer shows who gave it.
    state.catalogue = [f"{name} ({seed})" for name in RELATIONS]
    state.memory = [
        RelationExample("Ada was born in London.", Span(0, 3), Span(16, 22), r)
        for r in state.catalogue
    ]
    state.save(folder)
    return folder


def evaluation() -> dict[str, Any]:
    """An evaluation in the shape that the evaluate stage returns."""
    return {
        "task": 1,
        "relations_seen": len(RELATIONS),
        "task_relations": RELATIONS,
        "tasks": [{"task": 1, "batch": "0" * 64, "batch_name": "b1", "rows": 30}],
        "accuracy_matrix": [[0.9]],
        "accuracy": [0.9],
        "average_accuracy": 0.9,
        "overall_accuracy": 0.9,
        "forgetting": 0.0,
        "per_relation": {r: {"accuracy": 0.9, "support": 10} for r in RELATIONS},
        "champion": None,
        "relation_changes": [],
        "negative_flips": {"count": 0, "rows": 30, "rate": 0.0},
        "similar_confusions": [],
        "similarity": {"relations": RELATIONS, "matrix": []},
    }


def register(tracker: Tracker, state: Path, number: int) -> str:
    """Register a state as its own batch; returns the version."""
    run_id = tracker.open_run(f"serve-{number}")
    facts = {
        "stream": "news",
        "batch_hash": f"{number:064x}",
        "batch_name": f"b{number}",
        "task": number,
        "token": number,
        "code_version": "0.1.0",
        "verdict": "promote",
    }
    return tracker.register(run_id, state, evaluation(), facts)


def serving_settings(settings: Settings, **changes: Any) -> Settings:
    """Settings with quick polls on a free port."""
    values = {"port": 0, "poll_seconds": 0.05, **changes}
    serving = type(settings.serving).model_validate({**settings.serving.model_dump(), **values})
    return settings.model_copy(update={"serving": serving})


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "condition") -> Any:
    """Wait until something holds; returns it."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"{what} did not come true in {seconds:.0f} s"
        time.sleep(0.02)


@contextmanager
def running(
    settings: Settings,
    registry: Callable[[], Any] | None = None,
    *,
    token: str | None = None,
    ready: bool = True,
) -> Iterator[Server]:
    """A server in a thread of this process, on a real socket."""
    server = Server(settings, registry or (lambda: Tracker(settings)), token)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        if ready:
            until(lambda: get(server.url, "/ready").status_code == 200, what="readiness")
        else:
            until(lambda: server._uvicorn.started, what="start")
        yield server
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def mlflow_server(model: Any) -> Iterator[str]:
    """MLflow's own scoring server over a loaded model, on a real socket."""
    from mlflow.pyfunc import scoring_server

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(scoring_server.init(model), log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        until(lambda: server.started, what="MLflow's server")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def get(url: str, path: str, **headers: str) -> requests.Response:
    return requests.get(url + path, headers=headers, timeout=30)


def post(url: str, body: Any, **headers: str) -> requests.Response:
    """POST /invocations; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    return requests.post(f"{url}/invocations", data=data, headers=headers, timeout=300)


def metric(url: str, name: str) -> float:
    """One sample of /metrics; 0 where there is none."""
    text = get(url, "/metrics").text
    found = re.findall(rf"^{re.escape(name)} (\S+)$", text, flags=re.M)
    return float(found[0]) if found else 0.0


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(
    *arguments: str,
    environ: dict[str, str] | None = None,
    before: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Start Python with these arguments, after a command that runs it, without our settings."""
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "CFCRE_", "_MLF"))},
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        **(environ or {}),
    }
    return subprocess.Popen([*before, sys.executable, *arguments], env=env, **options)


@contextmanager
def process(
    arguments: list[str], environ: dict[str, str], log: Path, **options: Any
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``cfcre serve`` as a process; yields it and its address."""
    argv = ["-m", "cfcre.cli.main", "serve", "--port", "0", *arguments]
    with log.open("wb") as stream:
        server = program(*argv, environ=environ, stdout=stream, stderr=stream, **options)
    try:

        def address() -> str | None:
            assert server.poll() is None, log.read_text()[-3000:]
            found = re.search(r"listening on (http://\S+?),", log.read_text())
            return found.group(1) if found else None

        yield server, until(address, 120, "the address")
    finally:
        server.kill()
        server.wait(30)
