"""Pictures and the report of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.data.files import atomic_directory

if TYPE_CHECKING:
    from cfcre.operations.candidate import Judged
    from cfcre.operations.ledger import Claim

__all__ = ["draw", "report_path", "write_task_report"]


_ORDER = ("accuracy_matrix", "accuracy_by_task", "similar_confusions", "embedding_map")
_LINEAGE = {
    "batch_name": "batch",
    "batch_hash": "batch SHA-256",
    "parent_version": "parent version",
    "model_version": "model version",
    "code_version": "code version",
}


def report_path(settings: Settings, claim: Claim) -> Path:
    """Where the report of a task is kept in the home."""
    return settings.home.absolute() / "reports" / claim.stream / f"{claim.task_name}.html"


def draw(judged: Judged, figures: Path, *, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Write every picture of an evaluation.

    Args:
        judged: The scored candidate.
        figures: Directory to write PNG files to.
        tasks: The candidate's history, as in its ``state.json``.
    """
    from cfcre.evaluation.figures import draw_all

    predictor, memory = judged.predictor, judged.predictor.memory
    arrived: dict[str, int] = {}
    for task in tasks:
        for relation in task["relations"]:
            arrived.setdefault(relation, int(task["task"]))
    with atomic_directory(figures) as folder:
        draw_all(
            judged.evaluation,
            folder,
            prototypes=predictor.prototypes,
            memory=predictor.embed(memory)[:, : predictor.prototypes.shape[1]],
            memory_relations=[e.relation for e in memory],
            task_of=arrived,
        )


def write_task_report(
    path: Path, evaluation: Mapping[str, Any], figures: Path, facts: Mapping[str, Any]
) -> None:
    """Write the report of a task, pictures included.

    Args:
        path: HTML file.
        evaluation: The document ``evaluation.json``.
        figures: Directory that :func:`draw` wrote.
        facts: ``stream``, ``task``, ``verdict``, and where known ``rows``, ``seconds``,
            ``quarantined_by_reason`` and lineage.
    """
    from cfcre.evaluation.report import write_report

    drawn = {f.stem: f for f in figures.glob("*.png")}
    write_report(
        path,
        evaluation,
        verdict=facts.get("verdict"),
        rows=facts.get("rows"),
        quarantined_by_reason=facts.get("quarantined_by_reason"),
        stage_seconds=facts.get("seconds"),
        lineage={
            label: facts[name]
            for name, label in _LINEAGE.items()
            if facts.get(name) not in (None, "")
        },
        figures={name: drawn[name] for name in _ORDER if name in drawn},
        title=f"{facts['stream']}, task {facts['task']}",
    )
