"""Component ``consolidate``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def consolidate(
    claim: str,
    settings: str,
    accepted: Input[dsl.Dataset],
    selected: Input[dsl.Model],
    state: Output[dsl.Model],
    metrics: Output[dsl.Metrics],
) -> None:
    """Phase two: replay with L_A (eq. 5-7) and reconsolidation with L_R (eq. 8-11)."""
    from cfcre.operations.stages import consolidate as stage

    facts = stage.run(
        claim=claim,
        settings=settings,
        accepted=accepted.path,
        selected=selected.path,
        state=state.path,
        facts=metrics.path,
    )
    for name, value in facts.items():
        metrics.log_metric(name, value)
