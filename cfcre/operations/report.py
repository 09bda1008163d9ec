"""What one step of the reconciler did, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cfcre.operations.ledger import Activity, BatchRecord, Outcome

__all__ = ["ReconcileReport"]


@dataclass
class ReconcileReport:
    """What one step did and what is left.

    Attributes:
        recorded: Batches new in the ledger.
        rejected: Batches rejected before they ran.
        duplicates: Batches whose content was dropped again and moved beside them.
        settled: Runs that had ended without being settled.
        placed: Batches whose objects were moved.
        handed_on: Streams of documents that got a batch which is not recorded yet.
        ended: Whether a run that the step found going was settled elsewhere during it.
        launched: (stream, batch hash) of runs started.
        under_way: (stream, batch hash) of runs that were started before and have not claimed yet.
        launch_errors: Stream to what went wrong when a run was started.
        alias_moved: Whether the registry's champion alias had to be repaired.
        activity: Every stream as it stands after the step.
        poll_seconds: How long the caller may wait where runs go on elsewhere; None: look often.
    """

    recorded: list[BatchRecord] = field(default_factory=list)
    rejected: list[BatchRecord] = field(default_factory=list)
    duplicates: list[BatchRecord] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    placed: list[BatchRecord] = field(default_factory=list)
    handed_on: list[str] = field(default_factory=list)
    ended: bool = False
    launched: list[tuple[str, str]] = field(default_factory=list)
    under_way: list[tuple[str, str]] = field(default_factory=list)
    launch_errors: dict[str, Exception] = field(default_factory=dict)
    alias_moved: bool = False
    activity: list[Activity] = field(default_factory=list)
    poll_seconds: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs, can run now, or becomes due by itself.

        A stream that waits for a sequence nobody has dropped yet is idle.
        """
        busy = any(a.claimable or a.live or a.backoff_until for a in self.activity)
        return not (busy or self.launched or self.look_again)

    @property
    def look_again(self) -> bool:
        """Whether the inbox may hold more than this step saw of it, since a batch was settled."""
        return bool(self.handed_on) or self.ended

    @classmethod
    def joined(cls, reports: Sequence[ReconcileReport]) -> ReconcileReport:
        """One report of steps that were taken one after the other for different streams."""
        whole = cls()
        for report in reports:
            whole.recorded += report.recorded
            whole.rejected += report.rejected
            whole.duplicates += report.duplicates
            whole.settled += report.settled
            whole.placed += report.placed
            whole.handed_on += report.handed_on
            whole.ended |= report.ended
            whole.launched += report.launched
            whole.under_way += report.under_way
            whole.launch_errors |= report.launch_errors
            whole.alias_moved |= report.alias_moved
            whole.activity += report.activity
            whole.poll_seconds = report.poll_seconds
        return whole

    @property
    def next_due(self) -> datetime | None:
        """The earliest end of a pause before another attempt."""
        return min((a.backoff_until for a in self.activity if a.backoff_until), default=None)
