"""Exit handler ``settle``: whatever happened, the ledger knows the outcome afterwards."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cfcre.errors import CfcreError
from cfcre.operations.ledger.records import RUN_FACT
from cfcre.operations.stages.common import (
    begin,
    inbox_cache,
    one_line,
    open_ledger,
    stage_settings,
)
from cfcre.operations.stages.retrying import retrying

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.ledger import Ledger, Outcome

__all__ = ["run", "settle_run"]

NAME = "settle"
RUN_ID_FACT = "mlflow_run_id"
"""Fact of the ledger: the MLflow run that ``register`` opened."""

log = logging.getLogger(__name__)


@retrying
def run(*, stream: str, batch: str, settings: str, run: str, state: str) -> None:
    """Settle the task that this pipeline run claimed; a second time changes nothing.

    Args:
        stream: Name of the stream.
        batch: Content hash given to the run; empty when it took the next one.
        settings: Portable settings as JSON.
        run: Identity of the pipeline run.
        state: Kubeflow's word on the body, for the log.

    Raises:
        LedgerUnavailable: The ledger did not answer; the lease will run out instead.
    """
    clock, events = begin(NAME)
    options = stage_settings(settings)
    log.info("the body of run %s ended as %s", run, state)
    outcome = settle_run(options, open_ledger(options), stream, run)
    if outcome is None:
        log.info("run %s holds no task of stream %s; nothing to settle", run, stream)
        events.write(NAME, "end", seconds=clock.seconds())
        return
    events.write(
        NAME, "end", seconds=clock.seconds(), state=outcome.state, reason=outcome.reason or ""
    )


def settle_run(settings: Settings, ledger: Ledger, stream: str, run: str) -> Outcome | None:
    """Settle the stream's live claim if this pipeline run made it.

    Returns:
        The outcome; None when the run claimed nothing or was settled before.

    Raises:
        LedgerUnavailable: The ledger did not answer.
    """
    live = ledger.live_claim(stream)
    if live is None:
        return None
    facts = ledger.batch(live.batch_hash, stream).facts
    if facts.get(RUN_FACT) != run:
        return None
    outcome = ledger.settle(live.run_name)
    run_id = facts.get(RUN_ID_FACT)
    if run_id and outcome.ending != "learned":
        _close_tracking_run(settings, str(run_id))
    _place_objects(settings, ledger, outcome)
    return outcome


def _close_tracking_run(settings: Settings, run_id: str) -> None:
    from cfcre.operations.tracking_store import open_tracker

    try:
        open_tracker(settings).close_run(run_id, "FAILED")
    except CfcreError as problem:
        # The outcome is in the ledger; a run that still says "running" in MLflow is cosmetic.
        log.warning("the MLflow run %s could not be closed: %s", run_id, one_line(problem))


def _place_objects(settings: Settings, ledger: Ledger, outcome: Outcome) -> None:
    from cfcre.intake.inbox import discover
    from cfcre.intake.store import open_store
    from cfcre.operations.joint.handing_on import hand_documents_on
    from cfcre.operations.placement import place

    wrong = [b for b in ledger.misplaced(outcome.stream) if b.batch_hash == outcome.batch_hash]
    if not wrong:
        return
    try:
        store = open_store(settings)
        found = discover(store, outcome.stream, settings=settings, cache=inbox_cache(settings))
        others = [p for p in found if p.batch_hash != outcome.batch_hash]
        foreign = {key for pending in others for key in pending.keys}
        for batch in wrong:
            hand_documents_on(settings, store, ledger, batch)
            place(store, ledger, batch, foreign=foreign)
    except CfcreError as problem:
        # The next reconciliation moves them; the outcome stands.
        log.warning("the batch's objects could not be moved yet: %s", one_line(problem))
