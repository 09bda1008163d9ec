"""Submitting a run so that doing it twice, or losing the answer, makes one run.

Kubeflow's runs have no unique names, and an id given by the client is not taken by every version.
So the name is made from what the run is for, the batch and the number of its attempt, and looked
for before anything is made. Two submitters at the very same moment can still both miss the other's
run; then two runs start, one claims the batch, and the other ends green with nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cfcre.errors import CfcreError
from cfcre.operations.kubeflow.client import KubeflowClient

__all__ = ["ENDED", "Submission", "attempt_name", "next_name", "state_of", "submit"]

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
"""States of a run after which nothing more happens."""
_LONGEST_PAUSE = 600.0


@dataclass(frozen=True)
class Submission:
    """What there is after a submission.

    Attributes:
        name: Name of the run.
        run_id: Its id.
        state: Its state.
        url: Where a person sees it.
        new: Whether this call made it.
        pause_until: Set where nothing was made because the last run has just ended in vain.
    """

    name: str
    run_id: str
    state: str
    url: str
    new: bool
    pause_until: datetime | None = None


def attempt_name(stream: str, batch_hash: str, attempt: int) -> str:
    """Name of the run for an attempt of a batch; the same whoever computes it."""
    return f"{stream}-{batch_hash[:12]}-a{attempt}"


def next_name(stream: str) -> str:
    """Name of a run that takes whatever is next in its stream."""
    return f"{stream}-next"


def submit(
    client: KubeflowClient,
    package: dict[str, Any],
    *,
    base: str,
    stream: str,
    batch: str,
    settings: str,
    patient: bool,
) -> Submission:
    """Submit a run unless one for the same purpose is under way.

    A run that ended without claiming its batch (its image was missing, say) leaves the ledger as it
    was, so the next submission makes another one, numbered ``-r2`` and so on.

    Args:
        client: Kubeflow.
        package: The compiled pipeline.
        base: Name of the run, see :func:`attempt_name`.
        stream: Name of the stream.
        batch: Content hash of the batch; empty takes the next one.
        settings: Portable settings as JSON.
        patient: Pause after runs that ended in vain, longer each time, and give up after
            ``kubeflow.max_unclaimed_runs``; for callers that come again by themselves.

    Raises:
        CfcreError: Too many runs ended in vain.
        ConfigurationError: Kubeflow refused.
        KubeflowUnavailable: Kubeflow did not answer.
    """
    known = _known_runs(client.runs_like(base), base)
    for _, run in known:
        if state_of(run) not in ENDED:
            return _submission(client, run, new=False)
    if patient and known:
        wait = _pause(client, [run for _, run in known if not _archived(run)], base)
        if wait is not None and wait > datetime.now(UTC):
            return _submission(client, known[-1][1], new=False, pause_until=wait)
    number = known[-1][0] + 1 if known else 1
    name = base if number == 1 else f"{base}-r{number}"
    run = client.create_run(
        name,
        package,
        {"stream": stream, "batch": batch, "settings": settings},
        about=f"Stream {stream}, batch {batch or 'next'}; submitted by cfcre.",
    )
    return _submission(client, run, new=True)


def state_of(run: Any) -> str:
    """The run's state; a run that has none yet is pending."""
    return str(run.state or "PENDING")


def _known_runs(runs: Sequence[Any], base: str) -> list[tuple[int, Any]]:
    """(number, run) of the runs for one purpose, by number; the server compares names loosely."""
    pattern = re.compile(re.escape(base) + r"(?:-r([1-9][0-9]*))?")
    found = []
    for run in runs:
        match = pattern.fullmatch(run.display_name or "")
        if match:
            found.append((int(match[1] or 1), run))
    return sorted(found, key=lambda item: (item[0], str(item[1].created_at)))


def _archived(run: Any) -> bool:
    return str(run.storage_state or "") == "ARCHIVED"


def _pause(client: KubeflowClient, ended: Sequence[Any], base: str) -> datetime | None:
    if not ended:
        return None
    last, most = ended[-1], client.settings.max_unclaimed_runs
    if len(ended) >= most:
        raise CfcreError(
            f"{len(ended)} runs {base} ended without claiming their batch, the last one, "
            f"{last.display_name}, as {state_of(last)}: see {client.run_url(last.run_id)}; when "
            "the cause is removed, archive them in Kubeflow or run 'cfcre pipeline submit'"
        )
    moment = last.finished_at or last.created_at
    if moment is None:
        return None
    pause = client.settings.poll_seconds * 2.0 ** (len(ended) - 1)
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware + timedelta(seconds=min(pause, _LONGEST_PAUSE))


def _submission(
    client: KubeflowClient, run: Any, *, new: bool, pause_until: datetime | None = None
) -> Submission:
    return Submission(
        run.display_name or "",
        run.run_id,
        state_of(run),
        client.run_url(run.run_id),
        new,
        pause_until,
    )
