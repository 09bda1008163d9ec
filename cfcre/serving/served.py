"""A loaded version, and the slot that holds the one which answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.methods.predictor import Prediction, Predictor
from cfcre.serving.batching import MicroBatcher, Ticket
from cfcre.serving.metrics import ServingMetrics
from cfcre.tracking.scoring import JSON, Answer, ScoringLimits, ScoringModel

__all__ = ["ServedVersion", "Slot"]

# Which request the current thread answers: MLflow's functions lie between the two ends.
_ticket: ContextVar[Ticket] = ContextVar("ticket")


_CPU_TOKEN_BUDGET = 512


def _with_token_budget(settings: Settings) -> Settings:
    import torch

    compute = settings.compute
    budget = settings.serving.token_budget
    if budget is None:
        on_gpu = compute.device.startswith("cuda") or (
            compute.device == "auto" and torch.cuda.is_available()
        )
        small = min(compute.inference_token_budget, _CPU_TOKEN_BUDGET)
        budget = compute.inference_token_budget if on_gpu else small
    changed = compute.model_copy(update={"inference_token_budget": budget})
    return settings.model_copy(update={"compute": changed})


class _BatchedPredictor:
    """A predictor whose forward passes are shared with other requests."""

    def __init__(self, predictor: Predictor, batcher: MicroBatcher) -> None:
        self._predictor = predictor
        self._batcher = batcher

    def predict(
        self, examples: Sequence[RelationExample], top_k: int = 1
    ) -> list[list[Prediction]]:
        if not examples:
            return []
        encoded = self._predictor.encode(examples)
        ticket = _ticket.get()
        ticket.windowed = int(encoded.windowed.sum())
        return self._predictor.rank(self._batcher.run(encoded, ticket), top_k)


class ServedVersion:
    """One version in memory that has answered its warm-up request.

    Args:
        version: Number in the registry.
        identity: Digest of its state; two versions may carry one number, one after the other.
        folder: Holds ``MLmodel``.
        state: Learner state, checked while it is read.
        settings: Limits, batching, device and threads.
        metrics: Told about each pass.

    Raises:
        StateError: It is damaged, or cannot answer.
    """

    def __init__(
        self,
        version: str,
        identity: str,
        folder: Path,
        state: Path,
        settings: Settings,
        metrics: ServingMetrics,
    ) -> None:
        self.version = version
        self.identity = identity
        serving = settings.serving
        predictor = Predictor.load(state, _with_token_budget(settings))
        self._batcher = MicroBatcher(
            predictor.represent,
            max_rows=serving.max_batch_rows,
            max_queued_rows=serving.max_queued_rows,
            window_seconds=serving.batch_window_seconds,
            on_batch=metrics.batch_rows.observe,
        )
        self._timeout = serving.request_timeout_seconds
        try:
            limits = ScoringLimits(serving.max_rows, serving.max_text_chars)
            self._model = ScoringModel(folder, _BatchedPredictor(predictor, self._batcher), limits)
            with self._request(self._timeout):
                self._model.warm_up(predictor.relations)
        except BaseException:
            self._batcher.close()
            raise

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a pass."""
        return self._batcher.queued_rows

    def answer(self, body: bytes, content_type: str = JSON, seconds: float | None = None) -> Answer:
        """Answer one request.

        Args:
            body: The request's.
            content_type: The request's.
            seconds: Longest wait; default ``serving.request_timeout_seconds``.
        """
        with self._request(self._timeout if seconds is None else seconds) as ticket:
            answer = self._model.invocations(body, content_type)
        return answer._replace(windowed=ticket.windowed if answer.rows else 0)

    def close(self) -> None:
        """End the thread of the forward passes after it has run what is queued."""
        self._batcher.close()

    def abandon(self) -> None:
        """Let nobody wait any longer: the process ends."""
        self._batcher.abandon()

    @contextmanager
    def _request(self, seconds: float) -> Iterator[Ticket]:
        ticket = Ticket(self._batcher, time.monotonic() + seconds)
        token = _ticket.set(ticket)
        try:
            yield ticket
        finally:
            _ticket.reset(token)
            ticket.arrived()


class Slot:
    """Holds the version that answers. A request keeps the one it began with to its end."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._current: ServedVersion | None = None
        self._users: dict[ServedVersion, int] = {}

    @property
    def current(self) -> ServedVersion | None:
        """The version that answers new requests; None before the first."""
        return self._current

    @contextmanager
    def use(self) -> Iterator[ServedVersion | None]:
        """The current version, which is not closed before the block ends."""
        with self._condition:
            served = self._current
            if served is not None:
                self._users[served] = self._users.get(served, 0) + 1
        try:
            yield served
        finally:
            if served is not None:
                with self._condition:
                    self._users[served] -= 1
                    self._condition.notify_all()

    def swap(self, served: ServedVersion) -> ServedVersion | None:
        """Let a version answer from now on; returns the one before, which may still be in use."""
        with self._condition:
            before, self._current = self._current, served
            return before

    def drain(self, served: ServedVersion) -> None:
        """Wait until no request uses a version any more, then close it."""
        with self._condition:
            while self._users.get(served, 0):
                self._condition.wait()
            self._users.pop(served, None)
        served.close()
