"""Component ``evaluate``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def evaluate(
    claim: str,
    settings: str,
    state: Input[dsl.Model],
    evaluated: Output[dsl.Model],
    figures: Output[dsl.Artifact],
    report: Output[dsl.HTML],
    metrics: Output[dsl.Metrics],
    accuracy: Output[dsl.Markdown],
    confusion: Output[dsl.ClassificationMetrics],
) -> str:
    """Score candidate and champion on every task's held-out set, and judge the candidate.

    Returns:
        The gate's verdict, ``promote`` or ``hold``.
    """
    from cfcre.operations.stages import evaluate as stage

    verdict, numbers, confused = stage.run(
        claim=claim,
        settings=settings,
        state=state.path,
        evaluated=evaluated.path,
        figures=figures.path,
        report=report.path,
        accuracy=accuracy.path,
    )
    for name, value in numbers.items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix(confused["relations"], confused["counts"])
    return verdict
