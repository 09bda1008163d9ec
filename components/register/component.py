"""Component ``register``: see README.md."""

from kfp import dsl
from kfp.dsl import Input

from cfcre_components import stage_component


@stage_component()
def register(
    claim: str,
    settings: str,
    verdict: str,
    accepted: Input[dsl.Dataset],
    evaluated: Input[dsl.Model],
    figures: Input[dsl.Artifact],
    train_facts: Input[dsl.Metrics],
    consolidate_facts: Input[dsl.Metrics],
) -> str:
    """Log the task to MLflow, register one model version and move the aliases.

    Returns:
        The model version.
    """
    from cfcre.operations.stages import register as stage

    return stage.run(
        claim=claim,
        settings=settings,
        verdict=verdict,
        accepted=accepted.path,
        evaluated=evaluated.path,
        figures=figures.path,
        facts=[train_facts.path, consolidate_facts.path],
    )
