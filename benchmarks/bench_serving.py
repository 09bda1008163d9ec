"""Requests and rows a second: ``cfcre serve`` beside MLflow's own scoring server.

    python benchmarks/bench_serving.py [--seconds 5] [--rows 1 8] [--clients 1 8 32]

Both serve one registered version (compact encoder, the fifteen relations of the demonstration
corpus) from processes of their own, and are asked by the same clients one after the other in the
same run; the test sentences of the corpus are the rows. The machine's cores are shared by clients
and server. Whoever is measured first alternates, so that a machine that slows down favours nobody.
"CPU ms" is processor time of the server's process a request: on a machine with other work, where a
server of many busy threads is given more of the machine, it says more than requests a second.

The weights are those of the encoder as published, with prototypes made from a few sentences: how
fast a model answers does not depend on what it learned. Every answer is compared with MLflow's.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import describe

from cfcre.config import Settings, load_settings
from cfcre.data.demo_corpus import generate
from cfcre.data.schema import RelationExample
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.tracking.client import Tracker


def make_state(settings: Settings, folder: Path) -> list[RelationExample]:
    """Write a state that knows the demo's relations; returns the corpus's test rows."""
    import numpy as np
    import torch

    rows = [e for batch in generate(settings.seed) for e in batch.examples]
    relations = list(dict.fromkeys(e.relation for e in rows))
    state = LearnerState.fresh(settings)
    state.catalogue = relations
    state.prototypes = torch.zeros(len(relations), state.encoder.size)
    predictor = Predictor(state, settings.compute)
    means = []
    for relation in relations:
        known = [e for e in rows if e.relation == relation and e.split != "test"][:10]
        mean = predictor.embed(known).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    state.prototypes = torch.from_numpy(np.stack(means))
    state.relation_embeddings = state.prototypes.clone()
    state.save(folder)
    return [e for e in rows if e.split == "test"]


def register(tracker: Tracker, state: Path) -> str:
    """Register the state; returns the version."""
    evaluation: dict[str, Any] = {"task": 1, "relations_seen": 15, "average_accuracy": 0.0}
    facts = {"stream": "bench", "batch_hash": "0" * 64, "task": 1, "verdict": "promote"}
    return tracker.register(tracker.open_run("bench"), state, evaluation, facts)


@contextmanager
def server(
    argv: list[str], env: dict[str, str], log: Path, pattern: str, ready: str
) -> Iterator[tuple[int, int]]:
    """Run a server until the block ends; yields its port, read from its log, and process id."""
    with log.open("wb") as stream:
        process = subprocess.Popen(argv, stdout=stream, stderr=stream, env=env)
    try:
        deadline = time.monotonic() + 300
        while True:
            found = re.search(pattern, log.read_text())
            if found and _status(int(found.group(1)), ready) == 200:
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{argv[2]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield int(found.group(1)), process.pid
    finally:
        process.terminate()
        process.wait(60)


def _status(port: int, path: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request("GET", path)
        return client.getresponse().status
    except OSError:
        return 0
    finally:
        client.close()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, bodies: list[bytes], clients: int, seconds: float) -> tuple[float, list[float]]:
    """Ask without a pause for some seconds; requests a second, and each one's seconds."""
    taken: list[list[float]] = [[] for _ in range(clients)]
    begin = threading.Barrier(clients + 1)
    end = 0.0

    def ask(number: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        client.connect()
        begin.wait()
        turn = number
        while (started := time.perf_counter()) < end:
            body = bodies[turn % len(bodies)]
            client.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = client.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise SystemExit(f"answer {answer.status}: {content[:200]!r}")
            taken[number].append(time.perf_counter() - started)
            turn += clients
        client.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    end = started + seconds
    begin.wait()
    for thread in threads:
        thread.join()
    every = [s for one in taken for s in one]
    return len(every) / (time.perf_counter() - started), every


def predictions(port: int, body: bytes) -> list[dict[str, Any]]:
    """The answer to one request."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    client.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    found: list[dict[str, Any]] = json.loads(client.getresponse().read())["predictions"]
    client.close()
    return found


def compare(ours: int, theirs: int, bodies: list[bytes]) -> float:
    """Largest difference of a score; ends the run where a relation differs."""
    worst = 0.0
    for body in bodies:
        for one, other in zip(predictions(ours, body), predictions(theirs, body), strict=True):
            if one["relation"] != other["relation"]:
                raise SystemExit(f"answers differ: {one} {other}")
            worst = max(worst, abs(one["score"] - other["score"]))
    return worst


def request_bodies(rows: list[RelationExample], size: int) -> list[bytes]:
    """The rows as requests of that many rows."""
    texts = [{"text": e.text, "head": e.head._asdict(), "tail": e.tail._asdict()} for e in rows]
    return [
        json.dumps({"inputs": texts[i : i + size]}).encode()
        for i in range(0, len(texts) - size + 1, size)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="of a request")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = load_settings(home=folder / "home", environ={})
        print(describe(settings.seed))
        rows = make_state(settings, folder / "state")
        tracker = Tracker(settings)
        tracker.set_alias("champion", register(tracker, folder / "state"))
        model = tracker.state_path("1").parents[1]
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "CFCRE_HOME": str(settings.home)}
        serve = [sys.executable, "-m", "cfcre.cli.main", "serve", "--port", "0"]
        serve += ["--set", "serving.access_log=false"]
        mlflow = [sys.executable, "-m", "uvicorn", "mlflow.pyfunc.scoring_server.app:app"]
        mlflow += ["--port", "0", "--no-access-log"]
        with (
            server(
                serve, env, folder / "ours.txt", r"listening on http://\S+?:(\d+),", "/ready"
            ) as ours,
            server(
                mlflow,
                {**env, "__pyfunc_model_path__": str(model)},
                folder / "theirs.txt",
                r"running on http://\S+?:(\d+) ",
                "/ping",
            ) as theirs,
        ):
            worst = compare(ours[0], theirs[0], request_bodies(rows, 8))
            print(f"{len(rows)} rows answered alike, scores differ by at most {worst:.1e}")
            names = {ours: "cfcre serve", theirs: "MLflow"}
            titles = ("requests/s", "rows/s", "p50 ms", "p95 ms", "CPU ms")
            columns = "".join(f"{title:>11}" for title in titles)
            print(f"\n{'rows':>5}{'clients':>9}  {'server':<12}{columns}  ratio of rates, of CPU")
            turn = 0
            for size in args.rows:
                bodies = request_bodies(rows, size)
                for clients in args.clients:
                    order = [ours, theirs] if turn % 2 == 0 else [theirs, ours]
                    turn += 1
                    for port, _ in order:
                        load(port, bodies, clients, min(1.0, args.seconds))
                    found = {one: measure(one, bodies, clients, args.seconds) for one in order}
                    for one in (ours, theirs):
                        rate, p50, p95, cpu = found[one]
                        line = f"{size:5}{clients:9}  {names[one]:<12}{rate:11.1f}"
                        line += f"{rate * size:11.1f}{p50:11.1f}{p95:11.1f}{cpu:11.1f}"
                        if one == ours:
                            rates = rate / found[theirs][0]
                            line += f"{rates:14.2f}{found[theirs][3] / cpu:8.2f}"
                        print(line, flush=True)


def measure(
    one: tuple[int, int], bodies: list[bytes], clients: int, seconds: float
) -> tuple[float, float, float, float]:
    """Requests a second; median, 95th percentile and processor time of one, milliseconds."""
    port, pid = one
    before = cpu_seconds(pid)
    rate, taken = load(port, bodies, clients, seconds)
    used = (cpu_seconds(pid) - before) / len(taken)
    p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
    return rate, statistics.median(taken) * 1000, p95 * 1000, used * 1000


if __name__ == "__main__":
    main()
