"""What commands need of a home: the ledger, the store, one reconcile step."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cfcre.config import Settings
    from cfcre.intake.events.notifications import Look
    from cfcre.operations.ledger import Ledger
    from cfcre.operations.reconciler import Launcher
    from cfcre.operations.report import ReconcileReport
    from cfcre.operations.watch import Step

__all__ = ["actor", "open_ledger", "reconcile_step", "record_step"]

# Beyond so many streams one listing of the whole inbox is less work than one of each.
_STREAMS_ONE_BY_ONE = 16


def open_ledger(settings: Settings) -> Ledger:
    """The ledger, with its tables."""
    from cfcre.operations.ledger import Ledger

    ledger = Ledger.from_settings(settings)
    ledger.create()
    return ledger


def reconcile_step(
    settings: Settings,
    ledger: Ledger,
    launcher: Launcher,
    stream: str | None,
    check: Callable[[], None] = lambda: None,
) -> Step:
    """One reconcile step of this home, as :func:`cfcre.operations.watch.watch` takes it.

    A stream is looked at together with its stream of documents.
    """
    from cfcre.config.names import documents_stream, is_documents_stream
    from cfcre.intake.inbox import discover
    from cfcre.intake.store import open_store
    from cfcre.operations.reconciler import reconcile
    from cfcre.operations.report import ReconcileReport
    from cfcre.operations.stages.common import inbox_cache
    from cfcre.operations.tracking_store import open_tracker

    store = open_store(settings)
    cache = inbox_cache(settings)

    def one(name: str | None, cache: Path, skip: frozenset[str]) -> ReconcileReport:
        return reconcile(
            settings=settings,
            store=store,
            ledger=ledger,
            launcher=launcher,
            stream=name,
            discover=lambda: discover(store, name, settings=settings, cache=cache),
            open_tracker=lambda kind: open_tracker(settings, kind),
            skip_streams=skip,
            check=check,
        )

    def step(skip: frozenset[str]) -> ReconcileReport:
        if stream is None or is_documents_stream(stream):
            return one(stream, cache, skip)
        # A cache for each: a listing of one stream must not forget the other's hashes.
        both = (stream, cache), (documents_stream(stream), cache.with_stem("inbox-documents"))
        return ReconcileReport.joined([one(name, own, skip) for name, own in both])

    return step


def record_step(settings: Settings, ledger: Ledger) -> Callable[[Look], int]:
    """A function that records what lies in a part of the inbox, and returns how many are new."""
    from cfcre.intake.store import open_store
    from cfcre.operations.reconciler import record_inbox

    store = open_store(settings)

    def record(look: Look) -> int:
        everything = look.everything or len(look.streams) > _STREAMS_ONE_BY_ONE
        streams = [None] if everything else sorted(look.streams)
        new = 0
        for stream in streams:
            report = record_inbox(settings=settings, store=store, ledger=ledger, stream=stream)
            new += len(report.recorded)
        return new

    return record


def actor() -> str:
    """Who gives the command, for the ledger."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"
