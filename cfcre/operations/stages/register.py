"""Stage ``register``: the task in MLflow, one model version, and the aliases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.data.files import read_examples, read_json
from cfcre.data.schema import SPLITS
from cfcre.operations.candidate import EVALUATION_FILE
from cfcre.operations.held_out import split_key
from cfcre.operations.joint.extractor import follow_champions
from cfcre.operations.pictures import report_path, write_task_report
from cfcre.operations.promotion import promote_candidate
from cfcre.operations.stages.common import Stage, stage
from cfcre.operations.stages.evaluate import STATE_NAME, VERDICT_FILE, report_facts
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.stages.settle import RUN_ID_FACT
from cfcre.operations.states import STATE_FACT
from cfcre.operations.tracking_store import open_tracker

if TYPE_CHECKING:
    from cfcre.tracking.client import Tracker

__all__ = ["CHALLENGER_ALIAS", "local_state", "run"]

NAME = "register"
CHALLENGER_ALIAS = "challenger"


@retrying
def run(
    *,
    claim: str,
    settings: str,
    verdict: str,
    accepted: str,
    evaluated: str,
    figures: str,
    facts: Sequence[str],
) -> str:
    """Log the task and register its learner state.

    Everything here may be repeated by a later attempt without a second effect: the run and the
    version are found again by their tags, and the champion moves once.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        verdict: ``promote`` or ``hold``.
        accepted: Accepted rows.
        evaluated: Learner state with ``evaluation.json``.
        figures: Directory with pictures and the gate's checks.
        facts: Files with losses, as the training stages wrote them.

    Returns:
        The model version.

    Raises:
        TrackingUnavailable: MLflow did not answer.
        LeaseLost: Another run owns the task now; nothing was registered.
    """
    with stage(NAME, claim, settings) as running:
        task, state = running.claim, Path(evaluated) / STATE_NAME
        tracker = open_tracker(running.settings)
        checks = read_json(Path(figures) / VERDICT_FILE)
        evaluation = read_json(state / EVALUATION_FILE)
        run_id = tracker.open_run(
            task.task_name,
            tags={"cfcre.stream": task.stream, "cfcre.batch": task.batch_hash},
            params=running.settings.portable(),
        )
        running.ledger.advance(task, "evaluated", **{RUN_ID_FACT: run_id})
        _log(running, tracker, run_id, evaluation, accepted, facts)
        # The last look before the one step that others see: a newer run must not be overwritten.
        running.ledger.check(task)
        card = {
            **report_facts(running, checks),
            "history": read_json(state / "state.json")["tasks"],
        }
        version = tracker.register(run_id, state, evaluation, card)
        running.ledger.advance(
            task,
            "evaluated",
            model_version=version,
            verdict=verdict,
            **{STATE_FACT: local_state(running, tracker, version)},
        )
        tracker.set_alias(CHALLENGER_ALIAS, version)
        if verdict == "promote":
            promote_candidate(running.ledger, tracker, task, reason=checks["reason"])
        _publish(running, tracker, run_id, evaluation, Path(figures), checks)
        tracker.log_stage_seconds(run_id, _batch(running).seconds)
        tracker.close_run(run_id, "FINISHED")
        # Last, since the task is learned by now whatever happens to the extractor.
        follow_champions(running.settings, running.ledger, actor=task.run_name)
        running.facts["version"] = version
        return version


def _log(
    running: Stage,
    tracker: Tracker,
    run_id: str,
    evaluation: dict[str, Any],
    accepted: str,
    facts: Sequence[str],
) -> None:
    task = running.claim
    for path in facts:
        losses = read_json(Path(path))["losses"]
        if losses:
            tracker.log_losses(run_id, losses, prefix="loss")
    tracker.log_evaluation(run_id, evaluation)
    batch = _batch(running)
    tracker.log_dataset(
        run_id,
        batch_hash=task.batch_hash,
        batch_name=task.batch_name,
        keys=batch.keys,
        rows=batch.facts["rows"],
        relations=dict(Counter(e.relation for e in read_examples(Path(accepted)))),
        stream=task.stream,
        sources={s: split_key(task.stream, task.batch_hash, s) for s in SPLITS},
    )


def _publish(
    running: Stage,
    tracker: Tracker,
    run_id: str,
    evaluation: dict[str, Any],
    figures: Path,
    checks: dict[str, Any],
) -> None:
    """Pictures and the report into MLflow, and the report into the home, now with the version."""
    tracker.log_figures(run_id, sorted(figures.glob("*.png")))
    path = report_path(running.settings, running.claim)
    write_task_report(path, evaluation, figures, report_facts(running, checks))
    tracker.log_report(run_id, path)


def local_state(running: Stage, tracker: Tracker, version: str) -> str | None:
    """Where the version's state lies on this machine; None behind a tracking server."""
    from cfcre.tracking.connection import is_server

    if is_server(running.settings.tracking_uri):
        return None
    return str(tracker.state_path(version))


def _batch(running: Stage) -> Any:
    return running.ledger.batch(running.claim.batch_hash, running.claim.stream)
