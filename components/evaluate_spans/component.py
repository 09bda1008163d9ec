"""Component ``evaluate_spans``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def evaluate_spans(
    claim: str,
    settings: str,
    corpus: Input[dsl.Dataset],
    model: Input[dsl.Model],
    evaluated: Output[dsl.Model],
    metrics: Output[dsl.Metrics],
    scores: Output[dsl.Markdown],
) -> str:
    """Score candidate and champion on all held-out documents so far, and judge the candidate.

    Returns:
        The gate's verdict, ``promote`` or ``hold``.
    """
    from cfcre.operations.stages import evaluate_spans as stage

    verdict, numbers = stage.run(
        claim=claim,
        settings=settings,
        corpus=corpus.path,
        model=model.path,
        evaluated=evaluated.path,
        scores=scores.path,
    )
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    return verdict
