"""What Prometheus reads at ``/metrics``; names and labels are a contract with the alert rules."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

__all__ = ["ServingMetrics"]

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class ServingMetrics:
    """Counters of one server; a registry of its own, so that two servers never add up."""

    def __init__(self) -> None:
        # A time of creation beside every counter is noise: Prometheus sees a restart by itself.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cfcre_serve_requests",
            "Requests to /invocations, by HTTP status.",
            ["code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cfcre_serve_request_seconds",
            "Seconds from the headers of a request to /invocations to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = Counter("cfcre_serve_rows", "Rows answered.", registry=self.registry)
        self._model = Gauge(
            "cfcre_serve_model_info",
            "1 for the version that answers.",
            ["version"],
            registry=self.registry,
        )
        self.reload_failures = Counter(
            "cfcre_serve_reload_failures",
            "Times the registry did not answer or a version could not be loaded.",
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "cfcre_serve_batch_rows",
            "Rows in one forward pass.",
            buckets=_ROWS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "cfcre_serve_requests_in_flight",
            "Requests being answered.",
            registry=self.registry,
        )
        self.queued_rows = Gauge(
            "cfcre_serve_queued_rows", "Rows that wait for a pass.", registry=self.registry
        )

    def set_version(self, version: str) -> None:
        """Say which version answers from now on."""
        self._model.clear()
        self._model.labels(version=version).set(1)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
