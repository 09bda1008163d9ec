"""A learning step on the nodes of a TrainJob: hand the job over, wait, take the result.

The name comes from the attempt's run and token, so a stage that is started again goes on with the
TrainJob that is there, and a result that is there is taken without training again. A TrainJob that
failed is replaced by the next try. Whoever stops waiting, for a signal, a lost lease or a deadline,
deletes the TrainJob; one whose stage was killed outright ends by ``activeDeadlineSeconds``, and
goes with the stage's pod.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.errors import CfcreError, RetryableError
from cfcre.operations.training import transfer
from cfcre.operations.training.failures import error_from
from cfcre.operations.training.trainjob_client import AlreadyExists, TrainJobs
from cfcre.operations.training.trainjob_manifest import INPUT_ANNOTATION, train_job

if TYPE_CHECKING:
    from cfcre.intake.store import ObjectStore

__all__ = ["Handover", "run_train_job"]

_PODS_EVERY = 6
_GONE_SECONDS = 300.0


@dataclass(frozen=True)
class Handover:
    """What a stage gives to a TrainJob.

    Attributes:
        name: From :func:`~cfcre.operations.training.trainjob_manifest.job_name`.
        folder: The job's folder.
        state: Learner state to go on from; None for a fresh one.
        out: Where the learner state goes.
        annotations: For people who look at the TrainJob.
    """

    name: str
    folder: Path
    state: Path | None
    out: Path
    annotations: Mapping[str, str]

    @property
    def key(self) -> str:
        """The job's prefix in the object store."""
        return f"jobs/{self.name}"


def run_train_job(
    handover: Handover,
    settings: Settings,
    store: ObjectStore,
    jobs: TrainJobs,
    *,
    on_start: Callable[[Callable[[], None]], object] = lambda cancel: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Run the step on a TrainJob.

    Args:
        handover: The step.
        settings: ``trainjob`` and what the TrainJob is made of.
        store: The object store that the nodes reach too.
        jobs: The Kubernetes API.
        on_start: Given a function that deletes the TrainJob, for whoever may end this process.
        clock: Seconds; replaced in tests.
        sleep: Waits; replaced in tests.

    Returns:
        What the step tells.

    Raises:
        RetryableError: The TrainJob failed without an error of its processes, was deleted, or did
            not start or end in time.
        CfcreError: What a process ended with, as its own class.
    """
    digest = transfer.put_input(store, handover.key, handover.folder, handover.state)
    facts = transfer.fetch_result(store, handover.key, digest, handover.out)
    if facts is None:
        manifest = train_job(
            handover.name, handover.key, digest, settings, annotations=handover.annotations
        )
        waiting = _Waiting(handover, digest, settings, store, jobs, clock, sleep)
        on_start(waiting.cancel)
        with _ended_by_signal():
            try:
                waiting.start(manifest)
                waiting.until_complete()
            except _Failed as failed:
                # It stays, to be looked at; the next try replaces it.
                raise failed.error from None
            except BaseException:
                waiting.cancel()
                raise
        facts = transfer.fetch_result(store, handover.key, digest, handover.out)
        if facts is None:
            raise RetryableError(f"the TrainJob {handover.name} is complete but left no result")
    # The state is here: what is left outside is only in the way, and may be removed later too.
    jobs.delete(handover.name)
    transfer.remove(store, handover.key)
    return facts


class _Failed(Exception):
    """The TrainJob has failed, for a reason that it tells itself."""

    def __init__(self, error: CfcreError) -> None:
        super().__init__(str(error))
        self.error = error


class _Waiting:
    """From the creation of a TrainJob to its end."""

    def __init__(
        self,
        handover: Handover,
        digest: str,
        settings: Settings,
        store: ObjectStore,
        jobs: TrainJobs,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self._handover = handover
        self._name = handover.name
        self._digest = digest
        self._options = settings.trainjob
        self._nodes = f"TrainJob {handover.name}"
        self._store = store
        self._jobs = jobs
        self._clock = clock
        self._sleep = sleep

    def start(self, manifest: dict[str, Any]) -> None:
        """Create the TrainJob, or go on with the one of an earlier try that is not over."""
        began = self._clock()
        while True:
            found = self._jobs.get(self._name)
            if found is not None and self._usable(found):
                return
            if found is None:
                transfer.remove_errors(self._store, self._handover.key)
                try:
                    self._jobs.create(manifest)
                    return
                except AlreadyExists:
                    # Of this very call, its answer lost, or of another try: look at it.
                    continue
            self._jobs.delete(self._name)
            if self._clock() - began > _GONE_SECONDS:
                raise RetryableError(
                    f"the {self._nodes} of an earlier try was deleted but does not go away"
                )
            self._sleep(self._options.poll_seconds)

    def _usable(self, found: Mapping[str, Any]) -> bool:
        metadata = found["metadata"]
        same = (metadata.get("annotations") or {}).get(INPUT_ANNOTATION) == self._digest
        over = _condition(found, "Failed") or _condition(found, "Complete")
        # A complete one whose result is not there (it was looked for before) is of no use either.
        return same and not over and "deletionTimestamp" not in metadata

    def until_complete(self) -> None:
        """Wait for the end."""
        began, started, looks = self._clock(), None, 0
        while True:
            found = self._jobs.get(self._name)
            if found is None:
                raise RetryableError(f"the {self._nodes} was deleted while it was waited for")
            if _condition(found, "Complete"):
                return
            failure = _condition(found, "Failed")
            if failure is not None:
                raise _Failed(self._error(failure))
            now = self._clock()
            if started is None and _runs(found):
                started = now
            looks += 1
            if looks % _PODS_EVERY == 0:
                trouble, hopeless = self._jobs.pod_trouble(self._name)
                if hopeless:
                    raise RetryableError(f"the {self._nodes} cannot start: {trouble}")
            if started is None and now - began > self._options.queue_timeout_seconds:
                raise RetryableError(self._why_not_started(found))
            # The controller's own deadline comes first; this one is for a controller that is gone.
            late = self._options.timeout_seconds + self._options.queue_timeout_seconds
            if now - began > late:
                raise RetryableError(f"the {self._nodes} has neither ended nor failed in {late} s")
            self._sleep(self._options.poll_seconds)

    def cancel(self) -> None:
        """Delete the TrainJob; where that fails, its own deadline ends it."""
        try:
            self._jobs.delete(self._name)
        except CfcreError:
            return

    def _error(self, failure: Mapping[str, Any]) -> CfcreError:
        records = transfer.fetch_errors(self._store, self._handover.key)
        if any(not record.get("lost") for record in records):
            return error_from(records, "", self._nodes)
        why = f"{failure.get('reason') or ''} {failure.get('message') or ''}"
        trouble, _ = self._jobs.pod_trouble(self._name)
        text = "; ".join(part for part in (" ".join(why.split()), trouble) if part)
        return RetryableError(f"the {self._nodes} failed: {text or 'it gives no reason'}")

    def _why_not_started(self, found: Mapping[str, Any]) -> str:
        suspended = _condition(found, "Suspended")
        trouble, _ = self._jobs.pod_trouble(self._name)
        if suspended is not None:
            text = " ".join(str(suspended.get("message") or "").split())
            trouble = f"it is still suspended by queue {self._options.queue or 'none'}: {text}"
        seconds = self._options.queue_timeout_seconds
        return (
            f"the {self._nodes} did not start in {seconds:g} s: {trouble or 'no reason is known'}"
        )


def _condition(found: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next(
        (c for c in conditions if c.get("type") == kind and c.get("status") == "True"), None
    )


def _runs(found: Mapping[str, Any]) -> bool:
    jobs = (found.get("status") or {}).get("jobsStatus") or ()
    return any(j.get("ready") or j.get("succeeded") or j.get("failed") for j in jobs)


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM, which is how a pod is ended, unwind the stack instead of ending the process."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
