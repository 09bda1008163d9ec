"""One step that brings inbox, ledger and runs together; doing it twice does nothing more.

Events, schedules and people only say "look now". What is true stands in the ledger, so it does not
matter how often, or by how many processes at once, this step is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from cfcre.config import Settings
from cfcre.errors import BatchRejected, CfcreError, ConfigurationError
from cfcre.intake.store import NAME
from cfcre.operations.joint.handing_on import hand_documents_on
from cfcre.operations.ledger import BatchRecord, Ledger
from cfcre.operations.ledger.records import RUN_FACT
from cfcre.operations.placement import MovingStore, place, place_duplicate
from cfcre.operations.promotion import AliasTracker, reconcile_alias
from cfcre.operations.report import ReconcileReport
from cfcre.tracking.kinds import EXTRACTOR, RELATIONS, SPANS, ModelKind

__all__ = [
    "Discover",
    "Discovered",
    "Launcher",
    "ReconcileReport",
    "RemoteLauncher",
    "reconcile",
    "record_inbox",
]

log = logging.getLogger(__name__)


class Discovered(Protocol):
    """What the step needs of a found batch, see ``cfcre.intake.inbox.PendingBatch``."""

    @property
    def stream(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def keys(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def batch_hash(self) -> str: ...  # noqa: D102
    @property
    def sequence(self) -> int | None: ...  # noqa: D102
    @property
    def submitted_at(self) -> str: ...  # noqa: D102
    @property
    def problem(self) -> BatchRejected | None: ...  # noqa: D102
    @property
    def manifest_key(self) -> str | None: ...  # noqa: D102


Discover = Callable[[], Sequence[Discovered]]
"""Lists the inbox."""


class Launcher(Protocol):
    """Starts runs of the pipeline."""

    def launch(self, stream: str, batch_hash: str) -> bool:
        """Start a run for a batch. An embedded launcher returns when the run has ended.

        Another one (:class:`RemoteLauncher`) returns when the run is asked for; until that run has
        claimed the batch, the launcher is asked for it again and must not start a second one.

        The run claims the batch itself, so a run too many finds nothing to do. A run's own failure
        is in the ledger and is not raised; what is raised is a failure to start.

        Returns:
            False where nothing was started because a run for the batch is on its way.
        """
        ...


@runtime_checkable
class RemoteLauncher(Launcher, Protocol):
    """A launcher that returns at once: its runs go on elsewhere, and it can ask about them."""

    @property
    def poll_seconds(self) -> float:
        """How long the caller may wait between two looks while a run goes on."""

    def has_ended(self, run: str) -> bool:
        """Whether the run, by the identity that its stages got, is known to be over."""
        ...


def reconcile(
    *,
    settings: Settings,
    store: Any,
    ledger: Ledger,
    launcher: Launcher,
    stream: str | None = None,
    discover: Discover | None = None,
    open_tracker: Callable[[ModelKind], AliasTracker] | None = None,
    skip_streams: frozenset[str] = frozenset(),
    check: Callable[[], None] = lambda: None,
) -> ReconcileReport:
    """Take one idempotent step.

    Args:
        settings: Settings of the home.
        store: The object store.
        ledger: The ledger, with its tables.
        launcher: Starts runs; at most one a stream is started.
        stream: Only this stream.
        discover: Lists the inbox; default ``cfcre.intake.inbox.discover`` over the store.
        open_tracker: Opens the model registry for one kind of model; called only where its
            champion's alias may not follow the ledger.
        skip_streams: Streams for which no run is started.
        check: Called before each part; what it raises ends the step there, with nothing half done.

    Raises:
        ConfigurationError: ``stream`` is no valid name.
        StoreUnavailable: The object store did not answer.
        LedgerUnavailable: The ledger did not answer.
    """
    _check_stream(stream)
    find = discover or _inbox(store, stream, settings)
    remote = launcher if isinstance(launcher, RemoteLauncher) else None
    report = ReconcileReport(poll_seconds=remote.poll_seconds if remote else None)
    check()
    running = {activity.stream for activity in ledger.activity(stream) if activity.live}
    found = sorted(find(), key=_order)
    for pending in found:
        check()
        _record(store, ledger, pending, found, report)
    check()
    names = [activity.stream for activity in ledger.activity(stream)]
    _recover(ledger, names, report)
    if remote is not None:
        _settle_ended_runs(ledger, names, remote, report)
    _place(settings, store, ledger, stream, report, found)
    for activity in ledger.activity(stream):
        if activity.claimable and activity.stream not in skip_streams:
            check()
            _launch(launcher, activity.stream, activity.claimable, report)
    check()
    if report.launched:
        # Where the launcher waits for its run, the task is over now, or its process is dead.
        _recover(ledger, names, report)
        # The inbox may have changed during the run: an object of the same name may be another one.
        _place(settings, store, ledger, stream, report, find)
    if open_tracker is not None:
        for kind in (RELATIONS, SPANS, EXTRACTOR):
            view = ledger.for_model(kind.registered_name(settings.tracking.registered_model))
            if view.pending_alias():
                report.alias_moved |= reconcile_alias(view, open_tracker(kind))
    report.activity = ledger.activity(stream)
    # What this step settled itself it has handed on, too.
    over = running - {a.stream for a in report.activity if a.live}
    report.ended = bool(over - {outcome.stream for outcome in report.settled})
    return report


def record_inbox(
    *,
    settings: Settings,
    store: Any,
    ledger: Ledger,
    stream: str | None = None,
    discover: Discover | None = None,
) -> ReconcileReport:
    """Take the first part of :func:`reconcile` alone: the ledger gets what lies in the inbox.

    It starts nothing and moves nothing, so any process may take it at any time, beside a run that
    lasts for hours.

    Args:
        settings: Settings of the home.
        store: The object store.
        ledger: The ledger, with its tables.
        stream: Only this stream.
        discover: Lists the inbox; default ``cfcre.intake.inbox.discover`` over the store.

    Returns:
        ``recorded``, ``rejected`` and ``duplicates`` of the report are set.

    Raises:
        ConfigurationError: ``stream`` is no valid name.
        StoreUnavailable: The object store did not answer.
        LedgerUnavailable: The ledger did not answer.
    """
    _check_stream(stream)
    report = ReconcileReport()
    found = sorted((discover or _inbox(store, stream, settings))(), key=_order)
    for pending in found:
        _record(None, ledger, pending, found, report)
    return report


def _check_stream(stream: str | None) -> None:
    if stream is not None and not NAME.fullmatch(stream):
        raise ConfigurationError(
            f"stream {stream!r} is no name of a stream: use 1 to 128 letters, digits, '.', '_' "
            "and '-', the first a letter or digit"
        )


def _inbox(store: Any, stream: str | None, settings: Settings) -> Discover:
    def find() -> Sequence[Discovered]:
        from cfcre.intake.inbox import discover

        # One cache a selection: a listing of one stream must not forget the others' hashes.
        cache = settings.home.absolute() / "cache" / "inbox" / f"{stream or '_all'}.json"
        return discover(store, stream=stream, settings=settings, cache=cache)

    return find


def _order(pending: Discovered) -> tuple[str, bool, int, str, str]:
    """Given sequences take their numbers first; the others follow in order of arrival."""
    sequence = pending.sequence
    return (
        pending.stream,
        sequence is None,
        sequence or 0,
        pending.submitted_at,
        pending.name,
    )


def _record(
    store: MovingStore | None,
    ledger: Ledger,
    pending: Discovered,
    found: Sequence[Discovered],
    report: ReconcileReport,
) -> None:
    problem, sequence = pending.problem, pending.sequence
    if problem is None:
        try:
            result = ledger.record_batch(
                pending.stream,
                pending.batch_hash,
                name=pending.name,
                keys=pending.keys,
                manifest_key=pending.manifest_key,
                sequence=sequence,
                submitted_at=pending.submitted_at,
            )
        except BatchRejected as rejection:
            problem = rejection
    if problem is not None:
        result = ledger.record_rejected(
            pending.stream,
            pending.batch_hash,
            name=pending.name,
            keys=pending.keys,
            reason=problem.reason,
            detail=problem.detail,
            manifest_key=pending.manifest_key,
            sequence=sequence,
            submitted_at=pending.submitted_at,
        )
        if result.batch.state == "rejected" and not result.duplicate:
            report.rejected.append(result.batch)
    if result.duplicate:
        if store is not None:
            place_duplicate(store, result.batch, pending.keys)
        if pending.keys:
            report.duplicates.append(result.batch)
    elif result.new and problem is None:
        report.recorded.append(result.batch)
    elif result.batch.state == "seen" and _renamed(result.batch, pending, found):
        ledger.relocate(
            pending.stream,
            pending.batch_hash,
            name=pending.name,
            keys=pending.keys,
            manifest_key=pending.manifest_key,
        )


def _renamed(batch: BatchRecord, pending: Discovered, found: Sequence[Discovered]) -> bool:
    """Whether a waiting batch's recorded objects are gone and these took their place."""
    if set(pending.keys) == set(batch.keys):
        return False
    same = [p for p in found if (p.stream, p.batch_hash) == (batch.stream, batch.batch_hash)]
    return not any(set(p.keys) == set(batch.keys) for p in same)


def _recover(ledger: Ledger, streams: Sequence[str], report: ReconcileReport) -> None:
    for name in streams:
        outcome = ledger.recover(name)
        if outcome is not None:
            log.info("run %s: %s, batch is %s", outcome.run_name, outcome.ending, outcome.state)
            report.settled.append(outcome)


def _settle_ended_runs(
    ledger: Ledger, streams: Sequence[str], launcher: RemoteLauncher, report: ReconcileReport
) -> None:
    """Settle runs that ended without their exit handler, before their lease runs out.

    A lease has to outlast the wait for a node, an hour perhaps; a run that was terminated should
    not take as long to be tried again.
    """
    for name in streams:
        live = ledger.live_claim(name)
        run = ledger.batch(live.batch_hash, name).facts.get(RUN_FACT) if live else None
        if live is None or run is None:
            continue
        try:
            ended = launcher.has_ended(str(run))
        except CfcreError as problem:
            log.warning("run %s can not be looked at, its lease decides: %s", run, problem)
            continue
        if ended:
            outcome = ledger.settle(live.run_name)
            if outcome.settled_now:
                report.settled.append(outcome)


def _place(
    settings: Settings,
    store: Any,
    ledger: Ledger,
    stream: str | None,
    report: ReconcileReport,
    inbox: Sequence[Discovered] | Discover,
) -> None:
    wrong = ledger.misplaced(stream)
    if not wrong:
        return
    found = inbox() if callable(inbox) else inbox
    for batch in wrong:
        foreign = {
            key
            for pending in found
            if pending.stream == batch.stream and pending.batch_hash != batch.batch_hash
            for key in pending.keys
        }
        stream_of_documents = hand_documents_on(settings, store, ledger, batch)
        if stream_of_documents is not None:
            report.handed_on.append(stream_of_documents)
        place(store, ledger, batch, foreign=foreign)
        report.placed.append(batch)


def _launch(launcher: Launcher, stream: str, batch_hash: str, report: ReconcileReport) -> None:
    try:
        started = launcher.launch(stream, batch_hash)
    except Exception as error:
        # One stream's trouble must not stop the others; the caller decides what to do about it.
        log.error(
            "stream %s: the run of batch %s could not be started: %s",
            stream,
            batch_hash[:8],
            error,
            exc_info=not isinstance(error, CfcreError),
        )
        report.launch_errors[stream] = error
    else:
        runs = report.under_way if started is False else report.launched
        runs.append((stream, batch_hash))
