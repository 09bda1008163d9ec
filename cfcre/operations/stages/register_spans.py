"""Stage ``register_spans``: the task in MLflow, one version of the span model, and the aliases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cfcre
from cfcre.data.files import read_json
from cfcre.operations.candidate import EVALUATION_FILE
from cfcre.operations.joint.judging import evaluation_numbers, scores_page
from cfcre.operations.joint.memory import documents_key
from cfcre.operations.promotion import promote_candidate
from cfcre.operations.stages.common import Stage, stage
from cfcre.operations.stages.evaluate import STATE_NAME, VERDICT_FILE
from cfcre.operations.stages.register import CHALLENGER_ALIAS, local_state
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.stages.settle import RUN_ID_FACT
from cfcre.operations.states import STATE_FACT
from cfcre.operations.tracking_store import open_tracker
from cfcre.tracking.kinds import SPANS
from cfcre.tracking.lineage import DOCUMENT_COLUMNS

if TYPE_CHECKING:
    from cfcre.tracking.client import Tracker

__all__ = ["run"]

NAME = "register_spans"


@retrying
def run(*, claim: str, settings: str, verdict: str, evaluated: str, facts: str) -> str:
    """Log the task and register its span model.

    As in ``register``, everything may be repeated by a later attempt without a second effect.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        verdict: ``promote`` or ``hold``.
        evaluated: The model with its evaluation, and the verdict.
        facts: File with losses and counts, as ``train_spans`` wrote it.

    Returns:
        The model version.

    Raises:
        TrackingUnavailable: MLflow did not answer.
        LeaseLost: Another run owns the task now; nothing was registered.
    """
    with stage(NAME, claim, settings) as running:
        task, state = running.claim, Path(evaluated) / STATE_NAME
        tracker = open_tracker(running.settings, SPANS)
        evaluation = read_json(state / EVALUATION_FILE)
        checks = read_json(Path(evaluated) / VERDICT_FILE)
        trained = read_json(Path(facts))
        run_id = tracker.open_run(
            task.task_name,
            tags={"cfcre.stream": task.stream, "cfcre.batch": task.batch_hash},
            params=running.settings.portable(),
        )
        running.ledger.advance(task, "evaluated", **{RUN_ID_FACT: run_id})
        _log(running, tracker, run_id, evaluation, trained)
        # The last look before the one step that others see: a newer run must not be overwritten.
        running.ledger.check(task)
        version = tracker.register_state(
            run_id,
            state,
            {
                "stream": task.stream,
                "batch_hash": task.batch_hash,
                "batch_name": task.batch_name,
                "task": task.task,
                "token": task.token,
                "parent_version": task.parent_version,
                "code_version": cfcre.__version__,
                "verdict": checks,
            },
            tags={
                name: numbers
                for name, numbers in evaluation_numbers(evaluation).items()
                if name in ("entities_f1", "relations_f1")
            },
            card=lambda limit: _within(_card(running, evaluation, checks, trained), limit),
        )
        running.ledger.advance(
            task,
            "evaluated",
            model_version=version,
            verdict=verdict,
            **{STATE_FACT: local_state(running, tracker, version)},
        )
        tracker.set_alias(CHALLENGER_ALIAS, version)
        if verdict == "promote":
            promote_candidate(running.model_ledger, tracker, task, reason=checks["reason"])
        tracker.log_stage_seconds(
            run_id, running.ledger.batch(task.batch_hash, task.stream).seconds
        )
        tracker.close_run(run_id, "FINISHED")
        running.facts["version"] = version
        return version


def _log(
    running: Stage,
    tracker: Tracker,
    run_id: str,
    evaluation: dict[str, Any],
    trained: dict[str, Any],
) -> None:
    task = running.claim
    batch = running.ledger.batch(task.batch_hash, task.stream)
    tracker.log_losses(run_id, trained["losses"], prefix="loss")
    tracker.log_metrics(run_id, evaluation_numbers(evaluation), step=task.task)
    tracker.log_document(run_id, evaluation, f"evaluation/{EVALUATION_FILE}")
    tracker.log_dataset(
        run_id,
        batch_hash=task.batch_hash,
        batch_name=task.batch_name,
        keys=batch.keys,
        rows=batch.facts["rows"],
        relations=batch.facts["labels_by_type"]["relations"],
        stream=task.stream,
        sources={"documents": documents_key(task.stream, task.batch_hash)},
        columns=DOCUMENT_COLUMNS,
    )


def _card(
    running: Stage,
    evaluation: dict[str, Any],
    checks: dict[str, Any],
    trained: dict[str, Any],
) -> str:
    from cfcre.tracking.card import encoder_licence

    options = running.settings.spans
    batch = running.ledger.batch(running.claim.batch_hash, running.claim.stream)
    corpus = batch.facts["corpus"]
    lines = [
        f"# Span model, task {running.claim.task}",
        "",
        f"Preset {options.preset}, {options.epochs} epochs, encoder "
        f"{encoder_licence(options.encoder)}.",
        f"Documents of all batches so far: {corpus['train']} trained on, "
        f"{corpus['validation']} for calibration, {corpus['test']} held out.",
    ]
    if trained["too_long"] or trained["wide_entities"]:
        lines.append(
            f"Not learned: {trained['too_long']} documents too long for the encoder, "
            f"{trained['wide_entities']} entities of more than {options.max_span_width} words with "
            f"{trained['wide_relations']} relations."
        )
    return "\n".join([*lines, "", scores_page(evaluation, checks)])


def _within(card: str, limit: int | None) -> str:
    """The card in so many characters: whole lines, and where the rest is."""
    if limit is None or len(card) <= limit:
        return card
    rest = "\nThe whole card is the artifact model_card.md of the run.\n"
    return card[: limit - len(rest)].rpartition("\n")[0] + rest
