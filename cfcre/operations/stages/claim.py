"""Stage ``claim``: take the stream's next batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cfcre.data.files import write_json
from cfcre.operations.owner import acting_owner
from cfcre.operations.stages.common import begin, inbox_cache, open_ledger, stage_settings
from cfcre.operations.stages.retrying import retrying

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.ledger import Ledger

__all__ = ["run"]

NAME = "claim"


@retrying
def run(*, stream: str, batch: str, settings: str, run: str, claimed: str) -> bool:
    """Claim a batch for this pipeline run; nothing to do is a normal result.

    Args:
        stream: Name of the stream.
        batch: Content hash of the batch to take; empty takes the next one.
        settings: Portable settings as JSON.
        run: Identity of the pipeline run.
        claimed: File to write the claim to, as JSON; ``{}`` where there is none.

    Returns:
        Whether there is a task.

    Raises:
        LedgerUnavailable: The ledger did not answer.
        StoreUnavailable: The object store did not answer.
    """
    clock, events = begin(NAME)
    options = stage_settings(settings)
    ledger = open_ledger(options)
    if not batch:
        _look_into_inbox(options, ledger, stream)
    claim = ledger.claim(
        stream,
        owner=acting_owner(),
        batch_hash=batch or None,
        lease_seconds=options.ledger.lease_seconds,
        max_attempts=options.ledger.max_attempts,
        max_interruptions=options.ledger.max_interruptions,
        retry_backoff_seconds=options.ledger.retry_backoff_seconds,
        # The exit handler, which gets no outputs, finds its run's claim by this.
        run=run,
    )
    if claim is None:
        events.write(NAME, "end", seconds=clock.seconds(), has_task=False)
        write_json(Path(claimed), {})
        return False
    ledger.record_stage(claim, NAME, clock.seconds())
    events.write(
        NAME,
        "end",
        seconds=clock.seconds(),
        has_task=True,
        task=claim.task,
        batch=claim.batch_hash,
        batch_name=claim.batch_name,
        attempt=claim.attempt,
    )
    # The manifest lists the other keys; thousands of them would not fit into a command line.
    lean = replace(claim, keys=(claim.manifest_key,)) if claim.manifest_key else claim
    write_json(Path(claimed), lean.to_json())
    return True


class _NoLauncher:
    """The run is there already: it is this one."""

    def launch(self, stream: str, batch_hash: str) -> bool:
        """Start nothing."""
        return False


def _look_into_inbox(settings: Settings, ledger: Ledger, stream: str) -> None:
    """Record what is new, so that a mere schedule of this pipeline needs no reconciler."""
    from cfcre.intake.inbox import discover
    from cfcre.intake.store import open_store
    from cfcre.operations.reconciler import reconcile

    store = open_store(settings)
    reconcile(
        settings=settings,
        store=store,
        ledger=ledger,
        launcher=_NoLauncher(),
        stream=stream,
        discover=lambda: discover(store, stream, settings=settings, cache=inbox_cache(settings)),
        skip_streams=frozenset([stream]),
    )
