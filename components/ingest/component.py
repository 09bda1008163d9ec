"""Component ``ingest``: see README.md."""

from kfp import dsl
from kfp.dsl import Output

from cfcre_components import stage_component


@stage_component()
def ingest(claim: str, settings: str, raw: Output[dsl.Dataset]) -> None:
    """Read the claimed batch from the object store, verified and parsed, as JSON Lines."""
    from cfcre.operations.stages import ingest as stage

    raw.metadata.update(stage.run(claim=claim, settings=settings, raw=raw.path))
