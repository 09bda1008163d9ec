"""Stage ``evaluate``: candidate and champion on every task's held-out rows, and the verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cfcre
from cfcre.data.files import read_json, write_bytes, write_json
from cfcre.evaluation.summary import accuracy_page
from cfcre.operations.candidate import copy_state, evaluate_candidate
from cfcre.operations.gate import Verdict, judge
from cfcre.operations.held_out import read_split
from cfcre.operations.pictures import draw, report_path, write_task_report
from cfcre.operations.stages.common import Stage, stage
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.stages.train_task import parent_version
from cfcre.operations.states import state_folder, stream_of_version
from cfcre.tracking.runs import evaluation_metrics

if TYPE_CHECKING:
    from cfcre.evaluation.scoring import TaskTestSet

__all__ = [
    "STATE_NAME",
    "VERDICT_FILE",
    "comparable_champion",
    "decide",
    "report_facts",
    "run",
]

NAME = "evaluate"
STATE_NAME = "state"
"""The learner state's folder within the stage's output; a registered version calls it so too."""
VERDICT_FILE = "verdict.json"
"""In the figures' folder: the gate's checks, for ``register``."""


@retrying
def run(
    *,
    claim: str,
    settings: str,
    state: str,
    evaluated: str,
    figures: str,
    report: str,
    accuracy: str,
) -> tuple[str, dict[str, float], dict[str, Any]]:
    """Evaluate the candidate.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        state: The candidate's learner state.
        evaluated: Directory to write the state with ``evaluation.json`` to.
        figures: Directory to write the pictures to.
        report: File to write the report to.
        accuracy: File to write the accuracy matrix and the verdict to, as Markdown.

    Returns:
        The verdict, ``promote`` or ``hold``; numbers for the pipeline's metrics; and the confusion
        matrix of the relations that are hardest to tell apart, see
        :func:`cfcre.evaluation.confusion.confusion_counts`.

    Raises:
        StateError: A learner state can not be read.
        StoreUnavailable: The object store did not answer.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        task = running.claim
        parent = parent_version(running)
        champion, foreign = comparable_champion(running)
        tasks = read_json(Path(state) / "state.json")["tasks"]
        began = time.perf_counter()
        judged = evaluate_candidate(
            Path(state),
            _test_sets(running, tasks),
            parent=_folder(running, parent),
            champion=_folder(running, champion),
            champion_version=champion,
            settings=running.settings,
        )
        scored = time.perf_counter() - began
        evaluation = judged.evaluation
        verdict = judge(evaluation, running.settings.gate)
        decision, why = decide(verdict, foreign)
        copy_state(Path(state), Path(evaluated) / STATE_NAME, evaluation)
        checks = {**verdict.to_json(), "verdict": decision, "reason": why}
        draw(judged, Path(figures), tasks=tasks)
        write_task_report(Path(report), evaluation, Path(figures), report_facts(running, checks))
        write_bytes(Path(accuracy), accuracy_page(evaluation, checks).encode("utf-8"))
        write_json(Path(figures) / VERDICT_FILE, checks)
        running.ledger.advance(
            task,
            "evaluated",
            accuracy=evaluation["accuracy"],
            average_accuracy=evaluation["average_accuracy"],
            overall_accuracy=evaluation["overall_accuracy"],
            forgetting=evaluation["forgetting"],
            gate=why,
            champion_version=task.champion_version,
            report=str(report_path(running.settings, task)),
        )
        running.facts.update(
            accuracy=evaluation["average_accuracy"],
            forgetting=evaluation["forgetting"],
            verdict=decision,
            work_seconds=scored,
        )
        return decision, evaluation_metrics(evaluation), evaluation["confusion"]


def comparable_champion(running: Stage) -> tuple[str | None, str | None]:
    """The champion to compare with, and, where it is another stream's, that stream."""
    version = running.claim.champion_version
    if version is None:
        return None, None
    stream = stream_of_version(running.model_ledger, version)
    return (version, None) if stream in (None, running.claim.stream) else (None, stream)


def decide(verdict: Verdict, foreign: str | None) -> tuple[str, str]:
    """The verdict and its reason, once it is known whose champion there is.

    Args:
        verdict: The gate's.
        foreign: Stream of the champion where it is another one's.
    """
    if foreign is not None and verdict.promote:
        # Its relations are others: nothing that was measured here speaks about them.
        return "hold", (
            f"the champion is of stream {foreign!r} and knows other relations; promote by hand, or "
            "give each stream its own home or tracking.registered_model"
        )
    return verdict.verdict, verdict.reason


def _folder(running: Stage, version: str | None) -> Path | None:
    return None if version is None else state_folder(running.settings, running.ledger, version)


def _test_sets(running: Stage, tasks: list[dict[str, Any]]) -> list[TaskTestSet]:
    """Held-out rows of the tasks in the candidate's own history."""
    from cfcre.evaluation.scoring import TaskTestSet

    return [
        TaskTestSet(
            task=int(known["task"]),
            batch=known["batch"],
            batch_name=known["batch_name"],
            examples=read_split(
                running.store, running.claim.stream, known["batch"], "test", running.settings
            ),
        )
        for known in tasks
    ]


def report_facts(running: Stage, checks: dict[str, Any]) -> dict[str, Any]:
    """What report and model card tell beside the evaluation."""
    task = running.claim
    batch = running.ledger.batch(task.batch_hash, task.stream)
    return {
        **batch.facts,
        "stream": task.stream,
        "batch_hash": task.batch_hash,
        "batch_name": task.batch_name,
        "task": task.task,
        "token": task.token,
        "parent_version": parent_version(running),
        "code_version": cfcre.__version__,
        "verdict": checks,
        "settings": running.settings.portable(),
        "seconds": batch.seconds,
    }
