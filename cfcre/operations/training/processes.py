"""Run a job in several processes of this machine, through ``torchrun``.

torchrun is a subprocess of the stage, so the stage's heartbeat goes on while it waits. When the
stage dies, in whatever way, its training processes see that by themselves
(:mod:`cfcre.operations.training.worker`); when one of them dies, torchrun stops the others at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cfcre.config import ComputeSettings
from cfcre.data.files import read_json
from cfcre.errors import DataError
from cfcre.operations.events import EventReader
from cfcre.operations.owner import current_owner
from cfcre.operations.training.failures import error_from, read_records
from cfcre.operations.training.job import FACTS_FILE
from cfcre.operations.training.worker import PARENT_VARIABLE

if TYPE_CHECKING:
    from cfcre.methods.training import Progress

__all__ = ["run_processes"]

_POLL_SECONDS = 0.1
_TAIL_LINES = 200
_GRACE_SECONDS = 5.0
# Of a torchrun above this process: its own children must not take them for theirs.
_TORCHRUN = re.compile(
    r"((LOCAL|GROUP|ROLE)_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|(PET|TORCHELASTIC)_.*"
)


def run_processes(
    folder: Path, count: int, compute: ComputeSettings, progress: Progress
) -> dict[str, Any]:
    """Run the job in ``folder`` and wait for its end.

    Args:
        folder: See :mod:`cfcre.operations.training.job`.
        count: Number of processes.
        compute: Threads of a process, and how long one waits for the others.
        progress: Told what process 0 reports.

    Returns:
        What the step tells.

    Raises:
        RetryableError: A process was killed, or the processes lost each other.
        CfcreError: What a process ended with, as its own class.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), "--max-restarts", "0"]
    command += ["-m", "cfcre.operations.training.worker", str(folder)]
    command += ["--timeout", str(compute.collective_timeout_seconds)]
    events = EventReader(folder)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(count, compute),
        text=True,
        errors="replace",
    )
    reader = threading.Thread(target=_forward, args=(process.stdout, tail), daemon=True)
    reader.start()
    try:
        running = True
        while running:
            running = process.poll() is None
            for event in events.read():
                progress(event.facts["phase"], event.facts["done"], event.facts["total"])
            if running:
                time.sleep(_POLL_SECONDS)
    finally:
        _stop(process)
        reader.join(timeout=_GRACE_SECONDS)
    where = f"{count} on this machine"
    if process.returncode == 0:
        try:
            return dict(read_json(folder / FACTS_FILE))
        except DataError:
            tail.append("torchrun ended green without a result")
    raise error_from(read_records(folder), "".join(tail), where)


def _environment(count: int, compute: ComputeSettings) -> Mapping[str, str]:
    environment = {k: v for k, v in os.environ.items() if not _TORCHRUN.fullmatch(k)}
    threads = compute.threads or max(1, (os.cpu_count() or 1) // count)
    # torchrun would set one thread, with a warning; libraries read this before the settings.
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    environment["PYTHONUNBUFFERED"] = "1"
    environment[PARENT_VARIABLE] = json.dumps(current_owner().to_json(), sort_keys=True)
    return environment


def _forward(lines: IO[str] | None, tail: deque[str]) -> None:
    """Show what the processes print as it comes, and keep the end of it for the error."""
    for line in lines or ():
        tail.append(line)
        sys.stderr.write(line)


def _stop(process: subprocess.Popen[str]) -> None:
    """End torchrun, which ends its processes; they also end by themselves without it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)
        process.kill()
    process.wait()
