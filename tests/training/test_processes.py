"""Steps through torchrun: result, progress, errors, and what is left when a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from training_cases import children_with, quick_settings, wait_for

from cfcre.config import Settings
from cfcre.errors import RetryableError, StateError
from cfcre.methods import steps
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.operations.stages.common import Stage
from cfcre.operations.training import run
from cfcre.operations.training.failures import (
    describe,
    error_from,
    read_records,
    write_record,
)
from cfcre.operations.training.job import Job, write_job

LINEAGE = {"batch": "b1", "batch_name": "b1"}


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> Settings:
    return quick_settings(
        tmp_path / "home",
        tiny_encoder,
        **{
            "compute.processes": 2,
            "compute.evaluation_processes": 2,
            "compute.collective_timeout_seconds": 60.0,
            # Long enough to be struck in the middle.
            "method.epoch1": 40,
        },
    )


def same_weights(a: Path, b: Path) -> bool:
    one, other = (LearnerState.load(f).encoder.state_dict() for f in (a, b))
    return all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.slow
@pytest.mark.kill
@pytest.mark.timeout(900)
def test_a_killed_process_fails_the_step_and_a_retry_gives_the_same(
    tmp_path: Path, settings: Settings, task_rows: list[list[Any]]
) -> None:
    rows = task_rows[0]
    seen: list[tuple[str, int, int]] = []
    struck: list[float] = []

    def strike(phase: str, done: int, total: int) -> None:
        if not struck:
            struck.append(time.monotonic())
            (victim,) = children_with(os.getpid(), RANK="1")
            os.kill(victim, signal.SIGKILL)

    def train(out: Path, progress: Callable[[str, int, int], None]) -> None:
        run.train_task(None, rows, [], out, settings, lineage=LINEAGE, progress=progress)

    with pytest.raises(RetryableError, match=r"process 1 of 2 .* killed by signal 9"):
        train(tmp_path / "struck", strike)
    print(f"the step failed {time.monotonic() - struck[0]:.1f} s after a process was killed")
    assert not (tmp_path / "struck").exists()
    assert wait_for(lambda: not children_with(os.getpid(), WORLD_SIZE="2"), 20)

    train(tmp_path / "again", lambda *step: seen.append(step))
    train(tmp_path / "undisturbed", lambda *step: None)
    assert same_weights(tmp_path / "again", tmp_path / "undisturbed")
    assert seen and seen[-1][0] == "train_task" and seen[-1][2] == seen[0][2]
    assert not list(tmp_path.glob(".*partial"))


STAGE = """
import sys
from pathlib import Path
from cfcre.config import ComputeSettings
from cfcre.operations.training.processes import run_processes
told = lambda *step: print(*step, flush=True)
run_processes(Path(sys.argv[1]), 2, ComputeSettings(threads=1), told)
"""


@pytest.mark.slow
@pytest.mark.kill
@pytest.mark.timeout(600)
def test_when_the_stage_is_killed_its_processes_end(
    tmp_path: Path, settings: Settings, task_rows: list[list[Any]]
) -> None:
    long = settings.model_copy(
        update={"method": settings.method.model_copy(update={"epoch1": 10_000})}
    )
    write_job(tmp_path, "train_task", long, task_rows[0], lineage=LINEAGE)
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert stage.stdout is not None and stage.stdout.readline().startswith("train_task")
    ranks = children_with(stage.pid, WORLD_SIZE="2")
    assert len(ranks) == 2
    stage.kill()
    stage.wait()
    assert wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in ranks), 30)


def test_a_job_by_files_is_the_step_itself(
    tmp_path: Path,
    settings: Settings,
    task_rows: list[list[Any]],
    relation_rows: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything but torchrun: written, read in another place, run, and loaded, bit for bit."""
    quick = settings.method.model_copy(update={"epoch1": 2})
    settings = settings.model_copy(update={"method": quick})
    ran = []

    def here(folder: Path, count: int, compute: Any, progress: Any) -> dict[str, Any]:
        job = Job.read(folder)
        ran.append((job.step, count))
        assert job.settings.method == settings.method
        return job.run(progress)

    monkeypatch.setattr("cfcre.operations.training.processes.run_processes", here)
    rows, told = task_rows[0], lambda *step: None
    extra = steps.augment(rows, settings)
    for name, used in (("a", run), ("b", steps)):
        a, b, c = (tmp_path / f"{name}{n}" for n in (1, 2, 3))
        used.train_task(None, rows, extra, a, settings, lineage=LINEAGE, progress=told)
        used.select_memory(a, rows, b, settings, progress=told)
        used.consolidate(b, rows, c, settings, progress=told)
    assert ran == [("train_task", 2), ("select_memory", 2), ("consolidate", 2)]
    assert same_weights(tmp_path / "a3", tmp_path / "b3")
    one, other = (LearnerState.load(tmp_path / f"{n}3") for n in "ab")
    assert torch.equal(one.prototypes, other.prototypes) and one.memory == other.memory
    many = relation_rows(["owns", "wrote"], 300, 5)
    shared = Predictor.load(
        tmp_path / "a3", settings, embed=lambda r: run.embed(tmp_path / "a3", r, settings)
    )
    assert np.array_equal(
        shared.similarities(many), Predictor.load(tmp_path / "a3", settings).similarities(many)
    )
    assert ran[-1] == ("embed", 2)


def test_an_error_of_a_process_keeps_its_class(tmp_path: Path, settings: Settings) -> None:
    write_job(tmp_path, "consolidate", settings, [], state=str(tmp_path / "nothing"))
    done = subprocess.run(
        [sys.executable, "-m", "cfcre.operations.training.worker", str(tmp_path)],
        env={**os.environ, "RANK": "0", "WORLD_SIZE": "1"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.returncode == StateError.exit_code, done.stderr
    error = error_from(read_records(tmp_path), "", "1 on this machine")
    assert type(error) is StateError and "lacks state.json" in str(error)


def test_a_lost_peer_is_a_consequence_not_the_reason() -> None:
    lost = describe(RuntimeError("[gloo/pair.cc:537] Connection closed by peer [127.0.0.1]"), 0)
    reason = describe(StateError("the learner state x is damaged"), 1)
    assert lost["lost"] and not reason["lost"]
    error = error_from([lost, reason], "", "2 on this machine")
    assert isinstance(error, StateError) and "process 1" in str(error)
    assert isinstance(error_from([lost], "", "2"), RetryableError)
    assert error_from([], "", "2").retryable


def test_an_unforeseen_error_is_named_and_may_be_tried_again() -> None:
    record = describe(MemoryError("no more"), 2)
    error = error_from([record], "", "3 on this machine")
    assert error.retryable and "MemoryError: no more" in str(error)
    # What comes back from a file names a class only if it is one of this package's.
    assert type(error_from([{**record, "kind": "SystemExit"}], "", "3")) is RetryableError


def test_an_unfinished_record_is_passed_over(tmp_path: Path) -> None:
    write_record(tmp_path, describe(StateError("a"), 0))
    (tmp_path / "error-1.json").write_text('{"rank": 1, "ki')
    assert [r["rank"] for r in read_records(tmp_path)] == [0]


def test_a_stage_that_must_leave_at_once_ends_what_it_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(os, "_exit", done.append)
    claim: Any = SimpleNamespace(run_name="news-001-ab-a1", token=3, stream="news")
    stage = Stage("train_task", settings, claim, None, None)  # type: ignore[arg-type]
    attempt = stage.attempt
    assert (attempt.run_name, attempt.token, attempt.stream) == ("news-001-ab-a1", 3, "news")
    attempt.on_start(lambda: done.append("deleted"))
    stage.leave(73)
    assert done == ["deleted", 73]


def test_who_was_killed_is_found_behind_who_lost_the_connection() -> None:
    """torchrun names the process whose end it saw first; here that is the one left behind."""
    output = (
        "api.py:1002] failed (exitcode: 75) local_rank: 0 (pid: 1) of binary: python\n"
        "Failures:\n[1]:\n  rank      : {} (local_rank: 1)\n  exitcode  : {} (pid: 2)\n"
        "Root Cause (first observed failure):\n[0]:\n  rank      : 0 (local_rank: 0)\n"
        "  exitcode  : {} (pid: 1)\n"
    )
    lost = {"rank": 0, "kind": "RetryableError", "message": "reset by peer", "lost": True}
    error = error_from([lost], output.format(1, -9, 75), "2 on this machine")
    assert "process 1 of 2 on this machine was killed by signal 9" in str(error)
    # The first seen counts most, and SIGTERM is how torchrun ends the others.
    assert "process 0 of 2 was killed by signal 7" in str(
        error_from([lost], output.format(1, -9, -7), "2")
    )
    assert "lost each other" in str(error_from([lost], output.format(1, -15, 75), "2"))
