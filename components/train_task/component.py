"""Component ``train_task``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def train_task(
    claim: str,
    settings: str,
    accepted: Input[dsl.Dataset],
    auxiliary: Input[dsl.Dataset],
    state: Output[dsl.Model],
    metrics: Output[dsl.Metrics],
) -> None:
    """Phase one: learn the new relations with L_new (eq. 2), from the parent's learner state."""
    from cfcre.operations.stages import train_task as stage

    facts = stage.run(
        claim=claim,
        settings=settings,
        accepted=accepted.path,
        auxiliary=auxiliary.path,
        state=state.path,
        facts=metrics.path,
    )
    for name, value in facts.items():
        metrics.log_metric(name, value)
