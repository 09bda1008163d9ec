"""Stage ``consolidate``: phase two, replay and reconsolidation."""

from __future__ import annotations

from pathlib import Path

from cfcre.data.files import read_examples, write_json
from cfcre.operations.held_out import by_split
from cfcre.operations.stages.common import last_loss, stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "consolidate"


@retrying
def run(
    *, claim: str, settings: str, accepted: str, selected: str, state: str, facts: str
) -> dict[str, float]:
    """Join old and new relations; the result is the candidate.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        accepted: Accepted rows.
        selected: Learner state with memory.
        state: Directory to write the candidate to.
        facts: File to write losses and counts to.

    Returns:
        Numbers for the pipeline's metrics.

    Raises:
        StateError: The state cannot be read, or the result is not finite.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.operations.training.run import consolidate

        result = consolidate(
            Path(selected),
            by_split(read_examples(Path(accepted)), "train"),
            Path(state),
            running.settings,
            progress=running.progress,
            attempt=running.attempt,
        )
        write_json(Path(facts), result)
        running.facts.update(steps=result["steps"], work_seconds=result["seconds"])
        return {"steps": result["steps"], **last_loss(result["losses"])}
