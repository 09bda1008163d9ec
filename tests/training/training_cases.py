"""Settings of quick training, and a look at the processes that a test has started."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cfcre.config import Settings, load_settings


def quick_settings(home: Path, encoder: Path, **changes: Any) -> Settings:
    """19 rows a batch: no number of processes above one divides it evenly."""
    return load_settings(
        home=home,
        overrides={
            "encoder.name": str(encoder),
            "encoder.max_length": 64,
            "method.learning_rate": 2e-3,
            "method.head_learning_rate": 5e-3,
            "method.epoch1": 6,
            "method.epoch2": 3,
            "method.batch_size": 19,
            "method.projection_hidden": 32,
            "method.projection_size": 16,
            "memory.size": 5,
            "compute.precision": "float32",
            "compute.threads": 1,
            "compute.inference_token_budget": 256,
            **changes,
        },
        environ={},
    )


def children_with(pid: int, **variables: str) -> list[int]:
    """Running processes below ``pid`` that were started with these environment variables."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if fields[0] not in "ZX":
                parents[int(folder.name)] = int(fields[1])
    found = []
    for child in parents:
        above = child
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and child != pid and _has(child, variables):
            found.append(child)
    return sorted(found)


def _has(pid: int, variables: dict[str, str]) -> bool:
    try:
        entries = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return False
    return all(f"{name}={value}".encode() in entries for name, value in variables.items())


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
