"""Component ``validate``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def validate(
    claim: str,
    settings: str,
    raw: Input[dsl.Dataset],
    accepted: Output[dsl.Dataset],
    docs: Output[dsl.HTML],
    metrics: Output[dsl.Metrics],
) -> None:
    """Judge every row and the batch with Great Expectations; quarantine or accept each row."""
    from cfcre.operations.stages import validate as stage

    counts = stage.run(
        claim=claim, settings=settings, raw=raw.path, accepted=accepted.path, docs=docs.path
    )
    for name, value in counts.items():
        metrics.log_metric(name, value)
