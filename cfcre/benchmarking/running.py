"""One run: a learner through all tasks of a stream, kept after every task.

A run's folder holds the newest learner state and what was measured so far. The state is written
first, under a name of its own; then ``progress.json``, which names it, is replaced; then older
states are removed. So whenever the process is killed, ``progress.json`` names a state that is whole
and that belongs to its records.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cfcre.benchmarking.dataset import BenchmarkTask, Stream
from cfcre.benchmarking.learners import Learners
from cfcre.benchmarking.machine import memory_peak, reset_memory_peak
from cfcre.benchmarking.scoring import score
from cfcre.benchmarking.work import WorkCounter
from cfcre.config import Settings
from cfcre.data.files import read_json, write_json
from cfcre.errors import CfcreError
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task
from cfcre.modeling.compute import Compute

__all__ = ["TaskDone", "discard", "run_stream"]

_PROGRESS = "progress.json"

#: Told after each task, with what was measured.
TaskDone = Callable[[Mapping[str, Any]], None]


def run_stream(
    stream: Stream,
    settings: Settings,
    learners: Learners,
    folder: Path,
    *,
    code: str,
    told: TaskDone,
) -> list[dict[str, Any]]:
    """Learn and score all tasks, going on where an earlier call was interrupted.

    Args:
        stream: The tasks.
        settings: Of the method.
        learners: Makes the fresh learner.
        folder: The run's own; removed at the end.
        code: Digest of the method's code; what other code has begun is begun anew.
        told: Told after each task that is learned now.

    Returns:
        One record a task.
    """
    state, records = _resume(folder, settings, learners, code)
    if state is None:
        state = learners.fresh(settings)
    counter = WorkCounter(state.encoder.transformer)
    try:
        for task in stream.tasks[len(records) :]:
            record = _one_task(state, task, stream, settings, counter)
            records.append(record)
            # The last task needs no state: the whole run is kept next.
            if task.number < len(stream.tasks):
                _keep(folder, state, records, code)
            told(record)
    finally:
        counter.close()
    return records


def discard(folder: Path) -> None:
    """Remove what an interrupted run has left."""
    shutil.rmtree(folder, ignore_errors=True)


def _one_task(
    state: LearnerState,
    task: BenchmarkTask,
    stream: Stream,
    settings: Settings,
    counter: WorkCounter,
) -> dict[str, Any]:
    device = Compute.from_settings(settings.compute).device
    reset_memory_peak(device)
    started, processor = time.perf_counter(), time.process_time()
    name = f"{stream.dataset}-{stream.order}-{task.number}"
    facts = learn_task(state, list(task.train), settings, {"batch": name, "batch_name": name})
    learned, processor = time.perf_counter(), time.process_time() - processor
    work = counter.take()
    scores = score(Predictor(state, settings.compute), stream.tasks[: task.number])
    scored = time.perf_counter()
    scoring_work = counter.take()
    state.encoder.train()
    return {
        "task": task.number,
        "relations": list(task.relations),
        "train_rows": len(task.train),
        "memory_rows": len(state.memory),
        "scores": scores,
        "seconds": {
            "learning": learned - started,
            "learning_processor": processor,
            "scoring": scored - learned,
            **{stage: float(about["seconds"]) for stage, about in facts.items()},
        },
        "steps": work["steps"],
        "training_flops": work["training_flops"],
        "inference_flops": work["inference_flops"],
        "scoring_flops": scoring_work["inference_flops"],
        "peak_bytes": memory_peak(device),
    }


def _keep(folder: Path, state: LearnerState, records: list[dict[str, Any]], code: str) -> None:
    name = f"state-{len(records)}"
    state.save(folder / name)
    write_json(folder / _PROGRESS, {"code": code, "state": name, "records": records})
    for other in folder.iterdir():
        if other.name not in (name, _PROGRESS):
            shutil.rmtree(other, ignore_errors=True)


def _resume(
    folder: Path, settings: Settings, learners: Learners, code: str
) -> tuple[LearnerState | None, list[dict[str, Any]]]:
    path = folder / _PROGRESS
    if not path.is_file():
        return None, []
    try:
        stored = read_json(path)
        if stored["code"] == code:
            return learners.load(folder / stored["state"], settings), list(stored["records"])
    except (CfcreError, KeyError, TypeError):
        # A damaged disk: what was begun is worth minutes, and is done again.
        pass
    discard(folder)
    return None, []
