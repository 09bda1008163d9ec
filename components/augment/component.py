"""Component ``augment``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def augment(
    claim: str, settings: str, accepted: Input[dsl.Dataset], auxiliary: Output[dsl.Dataset]
) -> None:
    """Build the hybrid and reversed classes of phase one (adversarial class augmentation)."""
    from cfcre.operations.stages import augment as stage

    auxiliary.metadata.update(
        stage.run(claim=claim, settings=settings, accepted=accepted.path, auxiliary=auxiliary.path)
    )
