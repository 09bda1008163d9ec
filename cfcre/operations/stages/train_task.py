"""Stage ``train_task``: phase one, from the parent's learner state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cfcre
from cfcre.data.files import read_examples, write_json
from cfcre.operations.held_out import by_split
from cfcre.operations.stages.common import Stage, last_loss, stage
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.states import state_folder, stream_of_version

__all__ = ["parent_version", "run"]

NAME = "train_task"


@retrying
def run(
    *, claim: str, settings: str, accepted: str, auxiliary: str, state: str, facts: str
) -> dict[str, float]:
    """Learn the new relations.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        accepted: Accepted rows.
        auxiliary: Rows of the auxiliary classes.
        state: Directory to write the learner state to.
        facts: File to write losses and counts to.

    Returns:
        Numbers for the pipeline's metrics.

    Raises:
        StateError: The parent's state cannot be read.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.operations.training.run import train_task

        task = running.claim
        running.ledger.advance(task, "training")
        parent = parent_version(running)
        result: dict[str, Any] = train_task(
            state_folder(running.settings, running.ledger, parent) if parent else None,
            by_split(read_examples(Path(accepted)), "train"),
            read_examples(Path(auxiliary)),
            Path(state),
            running.settings,
            lineage={
                "stream": task.stream,
                "batch": task.batch_hash,
                "batch_name": task.batch_name,
                "parent_version": parent,
                "code_version": cfcre.__version__,
            },
            progress=running.progress,
            attempt=running.attempt,
        )
        write_json(Path(facts), result)
        running.facts.update(steps=result["steps"], work_seconds=result["seconds"])
        return {"steps": result["steps"], **last_loss(result["losses"])}


def parent_version(running: Stage) -> str | None:
    """The version that the task starts from, by ``stream.parent``; None for a fresh learner."""
    task = running.claim
    if running.settings.stream.parent == "latest":
        return task.parent_version
    champion = task.champion_version
    if champion is not None and stream_of_version(running.ledger, champion) != task.stream:
        # Another stream's champion has learned other tasks: this stream goes on from its own.
        return task.parent_version
    return champion
