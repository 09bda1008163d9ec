"""The tracker: everything this package says to MLflow, behind one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cfcre.config import Settings
from cfcre.tracking import lineage, registry, runs
from cfcre.tracking import versions as registered
from cfcre.tracking.connection import Connection
from cfcre.tracking.downloads import RegisteredVersion, aliased, download
from cfcre.tracking.kinds import RELATIONS, ModelKind

__all__ = ["Tracker"]


class Tracker:
    """MLflow runs, lineage and registered versions of one home.

    Cheap to build: the store is opened, and mlflow imported, at the first call that needs it.
    Every call may be repeated, by a retried step or after a kill, without a second effect.

    Args:
        settings: Where home, store and experiment are.
        kind: Which of the home's registered models is registered, listed and aliased.

    Raises:
        ConfigurationError: The tracking URI names MLflow's file store.

    Example:
        >>> tracker = Tracker(settings)
        >>> run_id = tracker.open_run("news-0001-1a2b3c", {"cfcre.stream": "news"}, {"seed": 1})
        >>> version = tracker.register(run_id, state_dir, evaluation, facts)
        >>> tracker.set_alias("champion", version)
    """

    def __init__(self, settings: Settings, kind: ModelKind = RELATIONS) -> None:
        self._connection = Connection(settings, kind)

    def prepare(self) -> str:
        """Create tables and experiment where they do not exist; returns the experiment id.

        Raises:
            TrackingUnavailable: MLflow did not answer.
            ConfigurationError: The store can not be used; the message says why.
        """
        return self._connection.experiment_id

    def open_run(
        self,
        run_name: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Open or reopen the run of that name; returns its id. See :func:`runs.open_run`."""
        return runs.open_run(self._connection, run_name, tags, params)

    def log_losses(self, run_id: str, losses: Iterable[Mapping[str, Any]], prefix: str) -> None:
        """Log per-step losses of a stage. See :func:`runs.log_losses`."""
        runs.log_losses(self._connection, run_id, losses, prefix)

    def log_evaluation(self, run_id: str, evaluation: Mapping[str, Any]) -> None:
        """Log metrics, the accuracy matrix and the evaluation. See :func:`runs.log_evaluation`."""
        runs.log_evaluation(self._connection, run_id, evaluation)

    def log_stage_seconds(self, run_id: str, seconds: Mapping[str, float]) -> None:
        """Log wall seconds by stage."""
        runs.log_stage_seconds(self._connection, run_id, seconds)

    def log_figures(self, run_id: str, paths: Iterable[Path]) -> None:
        """Upload pictures to ``figures/``."""
        runs.log_files(self._connection, run_id, paths, "figures")

    def log_report(self, run_id: str, path: Path) -> None:
        """Upload the task's HTML report."""
        runs.log_files(self._connection, run_id, [path])

    def log_dataset(
        self,
        run_id: str,
        *,
        batch_hash: str,
        batch_name: str,
        keys: Sequence[str],
        rows: Mapping[str, int],
        relations: Mapping[str, int] | Sequence[str],
        stream: str = "",
        sources: Mapping[str, Any] | None = None,
        columns: Sequence[tuple[str, str, bool]] = lineage.ROW_COLUMNS,
    ) -> None:
        """Record the batch as the run's input. See :func:`lineage.log_dataset`."""
        lineage.log_dataset(
            self._connection,
            run_id,
            batch_hash=batch_hash,
            batch_name=batch_name,
            keys=keys,
            rows=rows,
            relations=relations,
            stream=stream,
            sources=sources,
            columns=columns,
        )

    def close_run(
        self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED"
    ) -> None:
        """End the run."""
        runs.close_run(self._connection, run_id, status)

    def register(
        self, run_id: str, state_dir: Path, evaluation: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> str:
        """Register the batch's version, once; returns its number. See :func:`registry.register`."""
        return registry.register(self._connection, run_id, state_dir, evaluation, facts)

    def register_state(
        self,
        run_id: str,
        state_dir: Path,
        facts: Mapping[str, Any],
        *,
        tags: Mapping[str, Any],
        card: Callable[[int | None], str],
    ) -> str:
        """Register a state of any kind. See :func:`registry.register_state`."""
        return registry.register_state(
            self._connection, run_id, state_dir, facts, tags=tags, card=card
        )

    def log_metrics(self, run_id: str, numbers: Mapping[str, float], step: int = 0) -> None:
        """Log metrics by their names. See :func:`runs.log_metrics`."""
        runs.log_metrics(self._connection, run_id, numbers, step)

    def log_document(self, run_id: str, document: Mapping[str, Any], file: str) -> None:
        """Log a JSON document as an artifact. See :func:`runs.log_document`."""
        runs.log_document(self._connection, run_id, document, file)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version. See :func:`versions.set_alias`."""
        registered.set_alias(self._connection, alias, version)

    def delete_alias(self, alias: str) -> None:
        """Remove an alias where it exists."""
        registered.delete_alias(self._connection, alias)

    def alias(self, alias: str) -> str | None:
        """Version behind an alias, or None."""
        return registered.alias(self._connection, alias)

    def versions(self) -> list[dict[str, Any]]:
        """All versions, oldest first. See :func:`versions.versions`."""
        return registered.versions(self._connection)

    def state_path(self, version: str) -> Path:
        """Local folder of a version's learner state. See :func:`versions.state_path`."""
        return registered.state_path(self._connection, version)

    def aliased(self, alias: str) -> RegisteredVersion | None:
        """The version behind an alias and its digest, or None. See :func:`downloads.aliased`."""
        return aliased(self._connection, alias)

    def download(self, registered: RegisteredVersion, folder: Path, max_bytes: int) -> Path:
        """Copy a version to this machine and check it. See :func:`downloads.download`."""
        return download(self._connection, registered, folder, max_bytes)
