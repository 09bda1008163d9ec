"""A home with a tiny encoder, and ``cfcre`` as a process of its own on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STAGES = [
    "claim",
    "ingest",
    "validate",
    "augment",
    "train_task",
    "select_memory",
    "consolidate",
    "evaluate",
    "register",
    "settle",
]


@dataclass
class Home:
    """A home folder and the command line on it."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cfcre.cli.main", *arguments, "--home", str(self.path)]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            timeout=500,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def tasks(self, stream: str) -> list[dict[str, Any]]:
        (found,) = (s for s in self.status()["streams"] if s["name"] == stream)
        tasks: list[dict[str, Any]] = found["tasks"]
        return tasks

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("models", "--json").stdout)["versions"]
        return found

    def events(self) -> Iterator[tuple[str, str]]:
        """(stage, kind) of every event of every run, oldest run first."""
        files = (self.path / "runs").glob("*/events.jsonl")
        for file in sorted(files, key=lambda f: f.stat().st_mtime):
            for line in file.read_bytes().split(b"\n")[:-1]:
                event = json.loads(line)
                yield event["stage"], event["kind"]

    def wait_for(self, stage: str, seen: int, seconds: float = 240) -> None:
        """Wait until the stage has started more often than ``seen`` times."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if list(self.events()).count((stage, "start")) > seen:
                return
            time.sleep(0.05)
        raise AssertionError(f"stage {stage} did not start")

    def starts(self, stage: str) -> int:
        return list(self.events()).count((stage, "start"))


def make_home(path: Path, encoder: Path, **settings: Mapping[str, Any]) -> Home:
    path.mkdir(parents=True)
    values: dict[str, Any] = {
        "encoder": {"name": str(encoder), "max_length": 64},
        "method": {
            "learning_rate": 2e-3,
            "head_learning_rate": 5e-3,
            "epoch1": 4,
            "projection_hidden": 32,
            "projection_size": 16,
        },
        "compute": {"precision": "float32", "threads": 1},
        # The tiny encoder forgets a lot; what the gate makes of it is not the subject here.
        "gate": {
            "min_new_task_accuracy": 0.0,
            "max_mean_forgetting": 1.0,
            "max_relation_drop": 1.0,
            "max_negative_flip_rate": 1.0,
        },
        "ledger": {"max_interruptions": 100, "retry_backoff_seconds": 0.1},
        "pipeline": {"keep_runs": 100},
    }
    for section, changes in settings.items():
        values[section] = {**values.get(section, {}), **changes}
    (path / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return home_at(path)


def home_at(path: Path) -> Home:
    """A home that is there, its processes with one thread each."""
    return Home(path, {"OMP_NUM_THREADS": "1"})


def write_batch(path: Path, rows: Sequence[Any], extra: Sequence[Any] = ()) -> Path:
    lines = [json.dumps(row.to_json()) for row in rows] + [json.dumps(row) for row in extra]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def descendants(pid: int) -> list[int]:
    """Process numbers below a process, its own not included."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def component(launcher: int) -> list[int]:
    """The processes of the component that works below a launcher.

    Below the shell that kfp starts it is the component itself, or the client that stands for it;
    below the prefork server, which is spared, it is the fork.
    """
    below = descendants(launcher)
    direct = [pid for pid in below if parent(pid) == launcher]
    return [pid for pid in below if pid not in direct]


def parent(pid: int) -> int:
    """Number of the parent process; 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def running(pids: Sequence[int]) -> list[int]:
    """Those of the processes that still run; a zombie does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(pid)
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
