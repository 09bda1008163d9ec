"""The launcher of a cluster: submits a run and returns; the ledger says what becomes of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.errors import NotFoundError
from cfcre.operations.events import Event
from cfcre.operations.kubeflow.client import KubeflowClient
from cfcre.operations.kubeflow.runs import ENDED, Submission, attempt_name, state_of, submit

if TYPE_CHECKING:
    from cfcre.operations.ledger import Ledger

__all__ = ["KubeflowLauncher", "submit_attempt"]

log = logging.getLogger(__name__)


class KubeflowLauncher:
    """Submits runs to Kubeflow Pipelines.

    The reconciler asks for a batch again and again until its run has claimed it. The run's name
    holds the number of the attempt, so it is found, and submitted once; the attempt after a failure
    has the next number, and another run.

    Args:
        settings: Settings of the runs, and where Kubeflow is.
        on_start: Told the stream and the batch of a new run.
        on_event: Told the name of a new run.
        client: Kubeflow; None opens the one that the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_start: Callable[[str, str], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        client: KubeflowClient | None = None,
    ) -> None:
        self._settings = settings
        self._client = client or KubeflowClient(settings.kubeflow)
        self._on_start = on_start
        self._on_event = on_event
        self._packages: dict[str, dict[str, Any]] = {}

    @property
    def poll_seconds(self) -> float:
        """How long a watcher may wait between two looks while a run goes on."""
        return self._settings.kubeflow.poll_seconds

    def launch(self, stream: str, batch_hash: str) -> bool:
        """Submit the run of the batch's next attempt; False where it is under way already.

        Raises:
            CfcreError: Several runs of the attempt ended without claiming the batch.
            ConfigurationError: Kubeflow refused.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        began = time.monotonic()
        found = submit_attempt(
            self._client,
            self._ledger,
            self._package(stream),
            self._settings,
            stream,
            batch_hash,
            patient=True,
        )
        if not found.new:
            log.info("run %s is %s", found.name, found.state)
            return False
        if self._on_start:
            self._on_start(stream, batch_hash)
        if self._on_event:
            facts = {"seconds": time.monotonic() - began, "run": found.name, "see": found.url}
            self._on_event(Event("submit", "end", facts))
        return True

    def has_ended(self, run: str) -> bool:
        """Whether Kubeflow knows the run that holds a claim, and knows that it is over.

        A run that Kubeflow does not know may be another launcher's: its lease decides.

        Raises:
            KubeflowUnavailable: Kubeflow did not answer.
        """
        try:
            return state_of(self._client.run(run)) in ENDED
        except NotFoundError:
            return False

    def _package(self, stream: str) -> dict[str, Any]:
        """The compiled pipeline that learns the stream's batches; compiled once."""
        from cfcre_pipelines.compile import pipeline_of_stream, pipeline_package

        name = pipeline_of_stream(stream)
        if name not in self._packages:
            self._packages[name] = pipeline_package(self._settings, name)
        return self._packages[name]

    @cached_property
    def _ledger(self) -> Ledger:
        from cfcre.operations.stages.common import open_ledger

        return open_ledger(self._settings)


def submit_attempt(
    client: KubeflowClient,
    ledger: Ledger,
    package: dict[str, Any],
    settings: Settings,
    stream: str,
    batch_hash: str,
    *,
    patient: bool = False,
) -> Submission:
    """Submit the run of a recorded batch's next attempt, see :func:`submit`.

    Args:
        client: Kubeflow.
        ledger: Says which attempt is next.
        package: The compiled pipeline.
        settings: Settings of the run.
        stream: Name of the stream.
        batch_hash: Content hash of the batch.
        patient: See :func:`submit`.

    Raises:
        NotFoundError: The ledger does not know the batch.
    """
    batch = ledger.batch(batch_hash, stream)
    return submit(
        client,
        package,
        base=attempt_name(stream, batch.batch_hash, batch.attempt + 1),
        stream=stream,
        batch=batch.batch_hash,
        settings=json.dumps(settings.portable()),
        patient=patient,
    )
