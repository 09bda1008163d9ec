"""Component ``register_extractor``: see README.md."""

from cfcre_components import stage_component


@stage_component()
def register_extractor(claim: str, settings: str, after: str) -> str:
    """Make the extractor follow the champions of the two models that it joins.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        after: The span model's version, once it is registered.

    Returns:
        The extractor's version; empty where there is none yet.
    """
    from cfcre.operations.stages import register_extractor as stage

    return stage.run(claim=claim, settings=settings, after=after)
