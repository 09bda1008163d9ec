"""Component ``claim``: see README.md."""

from kfp import dsl

from cfcre_components import stage_component


# The only returned value is the flag: kfp.local resolves conditions on a task's single output and
# on no other, so the claim goes through a file.
@stage_component()
def claim(stream: str, batch: str, settings: str, run: str, claimed: dsl.OutputPath(str)) -> bool:
    """Take the stream's next batch from the ledger, with a lease and a fencing token.

    Args:
        stream: Name of the stream.
        batch: Content hash of the batch to take; empty takes the next one.
        settings: Portable settings as JSON.
        run: This pipeline run; the exit handler finds the claim by it.
        claimed: File for the claim as JSON.

    Returns:
        Whether there is a task.
    """
    from cfcre.operations.stages import claim as stage

    return stage.run(stream=stream, batch=batch, settings=settings, run=run, claimed=claimed)
