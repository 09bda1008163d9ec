"""How one task's wall time divides into stages, and the peak memory of everything it starts.

    python benchmarks/bench_task.py [--home DIR] [--tasks 2]

Without --home the first batches of the demonstration corpus are learned in a temporary home by
``cfcre watch``, as a user runs it, while the memory of its whole process tree is sampled from /proc
(proportional set size: pages that processes share count once). With --home, the runs that a home
has kept are read instead; nothing is run.

"learning and scoring" is the time inside the training loops, memory selection and evaluation. All
else is overhead, a line of its own: process starts, imports, Kubeflow, MLflow, Great Expectations,
reading and writing learner states.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from machine import describe

from cfcre.cli.demo import submit
from cfcre.config import load_settings
from cfcre.data.demo_corpus import generate


class MemoryPeak(threading.Thread):
    """Samples the summed PSS of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.running = True

    def run(self) -> None:
        while self.running:
            self.peak = max(self.peak, sum(_pss(p) for p in _tree(self.pid)))
            time.sleep(0.2)


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue  # the process has ended
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # the process has ended
    return 0


def stages_of(run: Path) -> tuple[dict[str, float], dict[str, float], float]:
    """Seconds of each stage's process, of the work inside it, and of the whole run."""
    seconds, work = {}, {}
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        event = json.loads(line)
        if event["kind"] == "end":
            seconds[event["stage"]] = event["facts"]["seconds"]
            work[event["stage"]] = event["facts"].get("work_seconds", 0.0)
    whole = (run / "events.jsonl").stat().st_mtime - (run / "settings.json").stat().st_mtime
    return seconds, work, whole


def show(run: Path) -> None:
    """Print one run's table."""
    seconds, work, whole = stages_of(run)
    if "register" not in seconds:
        return
    print(f"\n{run.name}")
    print(f"  {'stage':<16}{'process':>9}{'learning':>10}{'overhead':>10}   seconds")
    for stage, total in seconds.items():
        inside = work[stage]
        print(f"  {stage:<16}{total:9.1f}{inside:10.1f}{total - inside:10.1f}")
    between = whole - sum(seconds.values())
    print(f"  {'between stages':<16}{between:9.1f}{0:10.1f}{between:10.1f}")
    print(
        f"  {'whole task':<16}{whole:9.1f}{sum(work.values()):10.1f}"
        f"{whole - sum(work.values()):10.1f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("--tasks", type=int, default=2, choices=(1, 2, 3))
    args = parser.parse_args()
    if args.home:
        for run in sorted((args.home / "runs").iterdir(), key=lambda r: r.stat().st_mtime):
            show(run)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        settings = load_settings(home=home, environ={})
        print(describe(settings.seed))
        for number, batch in enumerate(generate(settings.seed)[: args.tasks], start=1):
            submit(settings, batch, number)
        command = [sys.executable, "-m", "cfcre.cli.main", "watch", "--until-idle"]
        process = subprocess.Popen([*command, "--home", str(home)], stdout=subprocess.DEVNULL)
        memory = MemoryPeak(process.pid)
        memory.start()
        code = process.wait()
        memory.running = False
        if code:
            raise SystemExit(f"cfcre watch ended with exit code {code}")
        for run in sorted((home / "runs").iterdir(), key=lambda r: r.stat().st_mtime):
            show(run)
        print(f"\npeak memory of the whole process tree: {memory.peak / 2**30:.2f} GiB")


main()
