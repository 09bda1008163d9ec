"""Stage ``select_memory``: the examples that stand for each relation from now on."""

from __future__ import annotations

from pathlib import Path

from cfcre.data.files import read_examples
from cfcre.operations.held_out import by_split
from cfcre.operations.stages.common import stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "select_memory"


@retrying
def run(*, claim: str, settings: str, accepted: str, state: str, selected: str) -> dict[str, int]:
    """Choose the memory of the task's relations.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        accepted: Accepted rows.
        state: Learner state after phase one.
        selected: Directory to write the learner state with memory to.

    Returns:
        Facts for the artifact's metadata.

    Raises:
        StateError: The state cannot be read.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.operations.training.run import select_memory

        facts = select_memory(
            Path(state),
            by_split(read_examples(Path(accepted)), "train"),
            Path(selected),
            running.settings,
            progress=running.progress,
        )
        running.facts.update(memory=facts["memory"], work_seconds=facts["seconds"])
        return {"memory": int(facts["memory"])}
