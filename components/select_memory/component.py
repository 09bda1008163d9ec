"""Component ``select_memory``: see README.md."""

from kfp import dsl
from kfp.dsl import Input, Output

from cfcre_components import stage_component


@stage_component()
def select_memory(
    claim: str,
    settings: str,
    accepted: Input[dsl.Dataset],
    state: Input[dsl.Model],
    selected: Output[dsl.Model],
) -> None:
    """Choose the memory of the task's relations: K-means, the example nearest to each centre."""
    from cfcre.operations.stages import select_memory as stage

    selected.metadata.update(
        stage.run(
            claim=claim,
            settings=settings,
            accepted=accepted.path,
            state=state.path,
            selected=selected.path,
        )
    )
