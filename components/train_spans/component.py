"""Component ``train_spans``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def train_spans(
    claim: str,
    settings: str,
    corpus: Input[dsl.Dataset],
    model: Output[dsl.Model],
    metrics: Output[dsl.Metrics],
) -> None:
    """Train the span model on all documents so far, from the pretrained encoder."""
    from cfcre.operations.stages import train_spans as stage

    facts = stage.run(
        claim=claim,
        settings=settings,
        corpus=corpus.path,
        model=model.path,
        facts=metrics.path,
    )
    for name, value in facts.items():
        metrics.log_metric(name, value)
