"""Stage ``augment``: auxiliary classes for phase one."""

from __future__ import annotations

from pathlib import Path

from cfcre.data.files import read_examples, write_examples
from cfcre.operations.held_out import by_split
from cfcre.operations.stages.common import stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "augment"


@retrying
def run(*, claim: str, settings: str, accepted: str, auxiliary: str) -> dict[str, int]:
    """Build the auxiliary classes from the training rows.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        accepted: Accepted rows.
        auxiliary: File to write the auxiliary rows to.

    Returns:
        Facts for the artifact's metadata.

    Raises:
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.methods.steps import augment

        train = by_split(read_examples(Path(accepted)), "train")
        rows = write_examples(
            Path(auxiliary), augment(train, running.settings, task=running.claim.task)
        )
        running.facts["auxiliary"] = rows
        return {"rows": rows}
