"""Stage ``register_extractor``: the extractor follows the champions of its two models."""

from __future__ import annotations

from cfcre.operations.stages.common import stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "register_extractor"


@retrying
def run(*, claim: str, settings: str, after: str) -> str:
    """Register the extractor of the present champions where it is missing.

    The task is learned by now; should this stage fail, the next run of either pipeline, or
    ``cfcre promote`` and ``cfcre rollback``, brings the extractor up to date.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        after: Version that was registered before; the stage is started behind it.

    Returns:
        The extractor's version; empty before there is a span model.

    Raises:
        TrackingUnavailable: MLflow did not answer.
        StoreUnavailable: The object store did not answer.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.operations.joint.extractor import follow_champions

        # A run that lost its lease must not act, though acting twice would do no harm.
        running.ledger.check(running.claim)
        version = follow_champions(running.settings, running.ledger, actor=running.claim.run_name)
        running.facts["version"] = version or "none yet"
        return version or ""
