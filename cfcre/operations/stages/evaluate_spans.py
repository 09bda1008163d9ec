"""Stage ``evaluate_spans``: candidate and champion on all held-out documents, and the verdict."""

from __future__ import annotations

import time
from pathlib import Path

from cfcre.data.files import write_bytes, write_json
from cfcre.operations.candidate import copy_state
from cfcre.operations.joint.gate import judge_spans
from cfcre.operations.joint.judging import (
    SCORES,
    evaluate_spans,
    evaluation_numbers,
    scores_page,
)
from cfcre.operations.joint.memory import read_corpus
from cfcre.operations.stages.common import stage
from cfcre.operations.stages.evaluate import (
    STATE_NAME,
    VERDICT_FILE,
    comparable_champion,
    decide,
)
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.states import state_folder
from cfcre.tracking.kinds import SPANS

__all__ = ["run"]

NAME = "evaluate_spans"


@retrying
def run(
    *, claim: str, settings: str, corpus: str, model: str, evaluated: str, scores: str
) -> tuple[str, dict[str, float]]:
    """Evaluate the candidate.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        corpus: All documents so far.
        model: The candidate's directory.
        evaluated: Directory to write the model with its evaluation, and the verdict, to.
        scores: File to write the scores and the verdict to, as Markdown.

    Returns:
        The verdict, ``promote`` or ``hold``, and numbers for the pipeline's metrics.

    Raises:
        StateError: A model can not be read.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        task, options = running.claim, running.settings
        champion, foreign = comparable_champion(running)
        folder = (
            None
            if champion is None
            else state_folder(options, running.model_ledger, champion, SPANS)
        )
        began = time.perf_counter()
        evaluation = evaluate_spans(
            Path(model),
            folder,
            read_corpus(Path(corpus)),
            batch=task.batch_hash,
            champion_version=champion,
            settings=options,
        )
        seconds = time.perf_counter() - began
        evaluation["task"] = task.task
        verdict = judge_spans(evaluation, options.joint)
        decision, why = decide(verdict, foreign)
        checks = {**verdict.to_json(), "verdict": decision, "reason": why}
        copy_state(Path(model), Path(evaluated) / STATE_NAME, evaluation)
        write_json(Path(evaluated) / VERDICT_FILE, checks)
        write_bytes(Path(scores), scores_page(evaluation, checks).encode("utf-8"))
        numbers = evaluation_numbers(evaluation)
        found = {name: numbers[f"{name}_f1"] for name in SCORES}
        running.ledger.advance(
            task,
            "evaluated",
            scores=found,
            gate=why,
            champion_version=task.champion_version,
        )
        running.facts.update(
            entities=found["entities"],
            relations=found["relations"],
            verdict=decision,
            work_seconds=seconds,
        )
        return decision, numbers
