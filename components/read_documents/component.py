"""Component ``read_documents``: see README.md."""

from kfp import dsl
from kfp.dsl import Output

from cfcre_components import stage_component


@stage_component()
def read_documents(
    claim: str, settings: str, corpus: Output[dsl.Dataset], metrics: Output[dsl.Metrics]
) -> None:
    """Check every document of the batch; quarantine or accept each, and add all earlier ones."""
    from cfcre.operations.stages import read_documents as stage

    counts = stage.run(claim=claim, settings=settings, corpus=corpus.path)
    for name, value in counts.items():
        metrics.log_metric(name, value)
