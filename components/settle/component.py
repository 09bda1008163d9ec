"""Component ``settle``: see README.md."""

from kfp import dsl

from cfcre_components import stage_component


@stage_component()
def settle(
    stream: str, batch: str, settings: str, run: str, status: dsl.PipelineTaskFinalStatus
) -> None:
    """Exit handler: write the outcome to the ledger, release the lease, move the batch's objects.

    Args:
        stream: Name of the stream.
        batch: Content hash given to the run; empty when the run took the next one.
        settings: Portable settings as JSON.
        run: This pipeline run.
        status: Kubeflow's word on the body; the ledger's records decide.
    """
    from cfcre.operations.stages import settle as stage

    stage.run(stream=stream, batch=batch, settings=settings, run=run, state=status.state)
