"""Helpers of the tracking tests: evaluations, facts, learner states, servers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cfcre.config import load_settings


def make_state(folder: Path, encoder: Path, relations: list[str]) -> Path:
    """Write a consolidated learner state with random prototypes."""
    import torch

    from cfcre.data.schema import RelationExample, Span
    from cfcre.methods.state import LearnerState

    settings = load_settings(
        home=folder.parent, environ={}, overrides={"encoder.name": str(encoder)}
    )
    state = LearnerState.fresh(settings)
    generator = torch.Generator().manual_seed(len(relations))
    prototypes = torch.randn(len(relations), state.encoder.size, generator=generator)
    state.prototypes = torch.nn.functional.normalize(prototypes)
    state.relation_embeddings = prototypes
    state.catalogue = relations
    state.memory = [
        RelationExample("Ada was born in London.", Span(0, 3), Span(16, 22), r) for r in relations
    ]
    state.save(folder)
    return folder


def evaluation(tasks: int = 2) -> dict[str, Any]:
    """An evaluation of that many tasks, in the shape that the evaluate stage returns."""
    matrix = [[round(0.9 - 0.1 * (t - k), 3) for k in range(t + 1)] for t in range(tasks)]
    relations = [f"relation {i}" for i in range(2 * tasks)]
    return {
        "task": tasks,
        "relations_seen": len(relations),
        "task_relations": relations[-2:],
        "tasks": [
            {"task": t + 1, "batch": f"{t + 1:064x}", "batch_name": f"b{t + 1}", "rows": 30 + t}
            for t in range(tasks)
        ],
        "accuracy_matrix": matrix,
        "accuracy": matrix[-1],
        "average_accuracy": sum(matrix[-1]) / tasks,
        "overall_accuracy": 0.81,
        "forgetting": 0.1,
        "per_relation": {
            r: {"accuracy": 0.5 + 0.1 * i, "support": 10 + i} for i, r in enumerate(relations)
        },
        "champion": None,
        "relation_changes": [],
        "negative_flips": {"count": 3, "rows": 60, "rate": 0.05},
        "similar_confusions": [],
        "similarity": {"relations": relations, "matrix": []},
    }


def facts(task: int = 2, **changes: Any) -> dict[str, Any]:
    """Facts of a claim."""
    return {
        "stream": "news",
        "batch_hash": f"{task:064x}",
        "batch_name": f"b{task}",
        "task": task,
        "token": 7,
        "parent_version": "1",
        "code_version": "0.1.0",
        "verdict": {"verdict": "promote", "checks": []},
        **changes,
    }


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    argv: list[str], env: dict[str, str], url: str, log: Path, seconds: float = 120.0
) -> Iterator[None]:
    """Run a server until it answers at ``url``; stop it, and its workers, at the end."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            argv, env=env, stdout=stream, stderr=stream, start_new_session=True, cwd=log.parent
        )
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(url, timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{argv[2:4]} did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
        yield
    finally:
        try:
            os.killpg(process.pid, 15)
            process.wait(15)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(15)
