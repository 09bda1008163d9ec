"""Run the pipeline on this machine: a launcher process of its own, its folder, its events.

``kfp.local`` keeps its configuration in globals, redirects ``print`` and prints a lot, so every
run gets a fresh process (:mod:`cfcre.operations.launch`, about a second) and the watcher itself
never imports kfp. The launcher leads its own session: stopping it stops everything below it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cfcre.config import Settings
from cfcre.data.files import read_json, write_json
from cfcre.errors import CfcreError
from cfcre.operations.events import RUN_DIR_VARIABLE, Event, EventReader
from cfcre.operations.owner import OWNER_VARIABLE, Owner, current_owner

__all__ = [
    "LOG_FILE",
    "LocalLauncher",
    "RunResult",
    "connections",
    "read_settings_file",
    "run_pipeline",
    "trim_runs",
]

LOG_FILE = "log.txt"
SETTINGS_FILE = "settings.json"
OWNER_FILE = "owner.json"
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class RunResult:
    """How a local run ended.

    Attributes:
        exit_code: Of the launcher; negative for a signal. The ledger holds the task's outcome.
        run_dir: Folder with the log, events and artifacts.
    """

    exit_code: int
    run_dir: Path

    @property
    def log(self) -> Path:
        """Everything that Kubeflow and the stages printed."""
        return self.run_dir / LOG_FILE


def connections(settings: Settings) -> dict[str, str | None]:
    """Environment of a process that is to see the same home, store, ledger and tracking.

    None stands for "unset": an embedded default must stay a default, because it also decides
    where a new MLflow experiment puts its artifacts.
    """
    return {
        "CFCRE_HOME": str(settings.home.absolute()),
        "CFCRE_STORE": settings.store.url,
        "CFCRE_STORE_ENDPOINT": settings.store.endpoint_url,
        "CFCRE_LEDGER": settings.ledger.url,
        "MLFLOW_TRACKING_URI": settings.tracking.uri,
    }


class LocalLauncher:
    """Runs the pipeline on this machine and returns when it has ended.

    Args:
        settings: Settings of the runs.
        on_start: Told the stream and the batch before a run.
        on_event: Told what the stages report.
        on_end: Told the result after a run.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_start: Callable[[str, str], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_end: Callable[[str, str, RunResult], None] | None = None,
    ) -> None:
        self._settings = settings
        self._on_start = on_start
        self._on_event = on_event
        self._on_end = on_end

    def launch(self, stream: str, batch_hash: str) -> bool:
        """Run one batch; how its task ended is in the ledger. True: a run was started."""
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"{stream}-{batch_hash[:8]}-{moment}-{os.getpid()}"
        if self._on_start:
            self._on_start(stream, batch_hash)
        result = run_pipeline(self._settings, stream, batch_hash, name, on_event=self._on_event)
        if result.exit_code == 0:
            _drop_states(result.run_dir)
        trim_runs(self._settings.home.absolute(), self._settings.pipeline.keep_runs)
        if self._on_end:
            self._on_end(stream, batch_hash, result)
        return True


def run_pipeline(
    settings: Settings,
    stream: str,
    batch: str,
    run_name: str,
    *,
    on_event: Callable[[Event], None] | None = None,
) -> RunResult:
    """Run the pipeline of the stream once and wait for its end.

    Args:
        settings: Settings of the run.
        stream: Name of the stream.
        batch: Content hash of the batch; empty takes the stream's next one.
        run_name: Name of the run's folder; one that is there already is cleared.
        on_event: Told what the stages report, as it happens.
    """
    run_dir = _fresh_folder(settings.home.absolute() / "runs" / run_name)
    write_json(run_dir / SETTINGS_FILE, settings.portable())
    write_json(run_dir / OWNER_FILE, current_owner().to_json())
    environment = _environment(settings, run_dir)
    command = [sys.executable, "-m", "cfcre.operations.launch"]
    command += ["--run-dir", str(run_dir), "--stream", stream, "--batch", batch]
    events = EventReader(run_dir)
    with (run_dir / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            running = True
            while running:
                running = process.poll() is None
                for event in events.read():
                    if on_event:
                        on_event(event)
                if running:
                    time.sleep(_POLL_SECONDS)
        finally:
            _stop(process)
    return RunResult(process.returncode, run_dir)


def trim_runs(home: Path, keep: int) -> None:
    """Delete the oldest run folders beyond ``keep``; one that another watcher uses stays."""
    root = home / "runs"
    if not root.is_dir():
        return
    finished = [f for f in root.iterdir() if f.is_dir() and not _in_use(f)]
    finished.sort(key=lambda f: f.stat().st_mtime, reverse=True)
    for folder in finished[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def _drop_states(run_dir: Path) -> None:
    """Delete the models between the stages of a green run: MLflow has the last one."""
    for name in ("state.json", "model.json"):
        for description in list((run_dir / "artifacts").rglob(name)):
            shutil.rmtree(description.parent, ignore_errors=True)


def _in_use(run_dir: Path) -> bool:
    try:
        owner = Owner.from_json(read_json(run_dir / OWNER_FILE))
    except CfcreError:
        return False
    return owner != current_owner() and owner.alive() is not False


def _fresh_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _environment(settings: Settings, run_dir: Path) -> Mapping[str, str]:
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
    environment.pop(OWNER_VARIABLE, None)
    for name, value in {**connections(settings), RUN_DIR_VARIABLE: str(run_dir)}.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and everything in its session that still runs."""
    _signal_session(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    # What is left is deep in native code, or an orphan of a launcher that was killed.
    _signal_session(process, signal.SIGKILL)
    process.wait()


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def read_settings_file(run_dir: Path) -> str:
    """The portable settings of a run, as the JSON text that the pipeline's parameter takes."""
    return json.dumps(json.loads((run_dir / SETTINGS_FILE).read_text(encoding="utf-8")))
