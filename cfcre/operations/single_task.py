"""One task in one process: no ledger, no Kubeflow, no MLflow; for notebooks and debugging.

The same library calls as the pipeline's stages, in the same order and with the same seeds, on a
learner state that the caller names and files that the caller gives.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cfcre
from cfcre.config import Settings
from cfcre.data.files import read_json, write_examples, write_json
from cfcre.data.schema import SPLITS, RelationExample
from cfcre.errors import ConfigurationError, DataError
from cfcre.operations.candidate import EVALUATION_FILE, copy_state, evaluate_candidate
from cfcre.operations.gate import judge
from cfcre.operations.held_out import by_split, require_test_rows
from cfcre.operations.pictures import draw, write_task_report

if TYPE_CHECKING:
    from cfcre.intake.formats import Limits
    from cfcre.intake.rows import RawBatch
    from cfcre.intake.submit import SubmitFile
    from cfcre.intake.validation import ValidationResult
    from cfcre.methods.training import Progress

__all__ = ["HELD_OUT", "TaskResult", "run_single_task"]

STREAM = "run-task"
HELD_OUT = "rows"
"""Folder beside the learner state with the accepted rows of every task so far."""


@dataclass
class TaskResult:
    """What a task left behind.

    Attributes:
        state: Learner state, with ``evaluation.json`` and the rows of all tasks.
        report: HTML report.
        counts: read, accepted, quarantined.
        by_reason: Reason to quarantined rows.
        evaluation: The document ``evaluation.json``.
        verdict: The gate's decision and checks.
        seconds: Wall seconds by stage.
    """

    state: Path
    report: Path
    counts: dict[str, int]
    by_reason: dict[str, int]
    evaluation: dict[str, Any]
    verdict: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


def run_single_task(
    state_in: Path | None,
    files: Sequence[SubmitFile],
    out: Path,
    settings: Settings,
    *,
    format: str | None = None,
    relations: Sequence[str] | None = None,
    limits: Limits = None,
    progress: Progress | None = None,
) -> TaskResult:
    """Learn one task.

    Args:
        state_in: Folder that an earlier call wrote to; None for a fresh learner.
        files: The batch.
        out: Folder to write; it must not exist, or be empty.
        settings: All settings.
        format: Format of all files; None to recognise each.
        relations: Only these relations.
        limits: The first rows of each relation in each file, or of each relation in each split.
        progress: Told how far the training steps are.

    Raises:
        ConfigurationError: ``out`` is in use, ``state_in`` holds no state of this kind, or a wanted
            relation is in none of the files.
        BatchRejected: The batch can not be learned; the message says why.
    """
    from cfcre.evaluation.scoring import TaskTestSet
    from cfcre.methods import steps
    from cfcre.methods.training import no_progress
    from cfcre.operations.training import run

    if out.exists() and any(out.iterdir()):
        raise ConfigurationError(f"{out} is not empty; give --out a new folder")
    parent = None if state_in is None else _state(state_in)
    seconds: dict[str, float] = {}
    tell = progress or no_progress
    with _timed(seconds, "ingest"):
        raw = _ingest(files, settings, format, relations, limits)
    with _timed(seconds, "validate"):
        result = _validate(raw, parent, settings)
    require_test_rows(result.accepted)
    train = by_split(result.accepted, "train")
    with tempfile.TemporaryDirectory(prefix="cfcre-task-") as temporary:
        work = Path(temporary)
        number = len(_tasks(parent)) + 1
        with _timed(seconds, "augment"):
            auxiliary = steps.augment(train, settings, task=number)
        lineage = {
            "batch": raw.batch_hash,
            "batch_name": files[0].path.name,
            "code_version": cfcre.__version__,
        }
        with _timed(seconds, "train_task"):
            run.train_task(
                parent, train, auxiliary, work / "a", settings, lineage=lineage, progress=tell
            )
        with _timed(seconds, "select_memory"):
            run.select_memory(work / "a", train, work / "b", settings, progress=tell)
        with _timed(seconds, "consolidate"):
            run.consolidate(work / "b", train, work / "c", settings, progress=tell)
        with _timed(seconds, "evaluate"):
            rows = _rows(parent, raw.batch_hash, result.accepted)
            tests = [
                TaskTestSet(
                    t["task"], t["batch"], t["batch_name"], by_split(rows[t["batch"]], "test")
                )
                for t in _tasks(work / "c")
            ]
            judged = evaluate_candidate(
                work / "c",
                tests,
                parent=parent,
                champion=parent,
                champion_version="the state before" if parent else None,
                settings=settings,
            )
            draw(judged, work / "figures", tasks=_tasks(work / "c"))
        verdict = judge(judged.evaluation, settings.gate)
        target = out / "state"
        copy_state(work / "c", target, judged.evaluation)
        for batch, examples in rows.items():
            for split in SPLITS:
                write_examples(_rows_file(target, batch, split), by_split(examples, split))
        document = {**verdict.to_json(), "reason": verdict.reason}
        facts = {
            "stream": STREAM,
            "task": number,
            "verdict": document,
            "rows": result.counts,
            "quarantined_by_reason": result.by_reason,
            "seconds": seconds,
            **lineage,
        }
        write_json(out / EVALUATION_FILE, judged.evaluation)
        write_task_report(out / "report.html", judged.evaluation, work / "figures", facts)
    return TaskResult(
        target,
        out / "report.html",
        dict(result.counts),
        dict(result.by_reason),
        judged.evaluation,
        document,
        seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def _state(folder: Path) -> Path:
    """The learner state in a folder: itself, or its ``state/``."""
    for candidate in (folder, folder / "state"):
        if (candidate / "state.json").is_file():
            return candidate
    raise ConfigurationError(
        f"{folder} holds no learner state; give --state-in a folder that --out wrote before"
    )


def _tasks(state: Path | None) -> list[dict[str, Any]]:
    return [] if state is None else list(read_json(state / "state.json")["tasks"])


def _rows_file(state: Path, batch: str, split: str) -> Path:
    return state / HELD_OUT / batch / f"{split}.jsonl"


def _rows(
    parent: Path | None, batch: str, accepted: Sequence[RelationExample]
) -> dict[str, list[RelationExample]]:
    """Accepted rows of every task so far, by batch hash."""
    from cfcre.data.files import read_examples

    earlier = {
        task["batch"]: [
            example
            for split in SPLITS
            for example in read_examples(_rows_file(parent, task["batch"], split))
        ]
        for task in _tasks(parent)
        if parent is not None
    }
    return {**earlier, batch: list(accepted)}


def _ingest(
    files: Sequence[SubmitFile],
    settings: Settings,
    format: str | None,
    relations: Sequence[str] | None,
    limits: Limits,
) -> RawBatch:
    """The rows, by the very road that a submitted batch takes, through a store of its own."""
    from cfcre.intake.folder import FolderStore
    from cfcre.intake.inbox import discover
    from cfcre.intake.ingest import ingest_batch
    from cfcre.intake.submit import submit_batch

    with tempfile.TemporaryDirectory(prefix="cfcre-inbox-") as folder:
        store = FolderStore(Path(folder))
        submit_batch(
            store,
            files,
            stream=STREAM,
            settings=settings,
            format=format,
            relations=relations,
            limits=limits,
        )
        (batch,) = discover(store, STREAM, settings=settings)
        return ingest_batch(store, batch, settings=settings)


def _validate(raw: RawBatch, parent: Path | None, settings: Settings) -> ValidationResult:
    from cfcre.data.tokenisation import fits, load_tokenizer
    from cfcre.intake.validation import validate_batch

    earlier = _rows(parent, raw.batch_hash, [])
    if raw.batch_hash in {task["batch"] for task in _tasks(parent)}:
        raise DataError("the state has learned this very batch before; give it new data")
    tokenizer = load_tokenizer(settings.encoder.name)

    def keys(split: str) -> set[str]:
        return {e.input_key for rows in earlier.values() for e in rows if e.split == split}

    return validate_batch(
        raw,
        settings=settings,
        earlier_test_keys=keys("test"),
        earlier_train_keys=keys("train"),
        fits=lambda examples: fits(tokenizer, examples, settings.encoder.max_length),
    )
