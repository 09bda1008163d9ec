"""Component ``register_spans``: see README.md."""

from kfp import dsl
from kfp.dsl import Input

from cfcre_components import stage_component


@stage_component()
def register_spans(
    claim: str,
    settings: str,
    verdict: str,
    evaluated: Input[dsl.Model],
    train_facts: Input[dsl.Metrics],
) -> str:
    """Log the task to MLflow, register one version of the span model and move its aliases.

    Returns:
        The model version.
    """
    from cfcre.operations.stages import register_spans as stage

    return stage.run(
        claim=claim,
        settings=settings,
        verdict=verdict,
        evaluated=evaluated.path,
        facts=train_facts.path,
    )
