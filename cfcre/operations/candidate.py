"""Judging a candidate: its test sets, its champion, its evaluation and the gate's word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.data.files import atomic_directory, read_json, write_json
from cfcre.errors import DataError, StateError

if TYPE_CHECKING:
    from cfcre.evaluation.scoring import TaskTestSet
    from cfcre.methods.predictor import Predictor

__all__ = ["EVALUATION_FILE", "Judged", "copy_state", "evaluate_candidate", "previous_matrix"]

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Judged:
    """A scored candidate.

    Attributes:
        evaluation: The document ``evaluation.json``.
        predictor: The candidate, loaded.
    """

    evaluation: dict[str, Any]
    predictor: Predictor


def previous_matrix(parent: Path | None) -> list[list[float]]:
    """The accuracy matrix up to the parent; empty for the first task.

    Raises:
        StateError: The parent's state was never evaluated.
    """
    if parent is None:
        return []
    path = parent / EVALUATION_FILE
    try:
        matrix: list[list[float]] = read_json(path)["accuracy_matrix"]
    except (DataError, KeyError, TypeError) as error:
        raise StateError(
            f"the learner state {parent.name} holds no readable {EVALUATION_FILE}; "
            "take one that a finished task left behind"
        ) from error
    return matrix


def evaluate_candidate(
    state: Path,
    tests: Sequence[TaskTestSet],
    *,
    parent: Path | None,
    champion: Path | None,
    champion_version: str | None,
    settings: Settings,
) -> Judged:
    """Score a candidate on every task's held-out rows, beside the champion.

    Args:
        state: The candidate's learner state.
        tests: Held-out rows of its tasks, the newest last.
        parent: State that the candidate was trained from.
        champion: State of the serving model; None where there is none to compare with.
        champion_version: Its version.
        settings: Device and limits.

    Raises:
        StateError: A state can not be read.
        DataError: A task has no test rows.
    """
    from cfcre.evaluation.scoring import evaluate
    from cfcre.methods.predictor import Predictor

    def load(folder: Path) -> Predictor:
        if settings.compute.evaluation_processes == 1:
            return Predictor.load(folder, settings)
        from cfcre.operations.training.run import embed

        return Predictor.load(folder, settings, embed=lambda rows: embed(folder, rows, settings))

    predictor = load(state)
    evaluation = evaluate(
        predictor,
        load(champion) if champion is not None else None,
        tests,
        previous_matrix(parent),
        champion_version=champion_version,
    )
    return Judged(evaluation, predictor)


def copy_state(source: Path, target: Path, evaluation: dict[str, Any]) -> None:
    """The state with its evaluation beside it; weights are linked where the disk allows it."""
    with atomic_directory(target) as partial:
        shutil.copytree(source, partial, copy_function=_link, dirs_exist_ok=True)
        write_json(partial / EVALUATION_FILE, evaluation)


def _link(source: str, target: str) -> str:
    # State files are replaced whole and never changed in place: a link is as good as a copy.
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
