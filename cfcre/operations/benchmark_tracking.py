"""A benchmark in MLflow: a parent run a benchmark, a child run a method and order.

Runs are found by their names, so a benchmark that goes on after a kill goes on in the same runs. A
store that does not answer does not stop hours of learning: what could not be logged is logged at
the end, or by the next call of the same command.
"""

from __future__ import annotations

import importlib.util
import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cfcre.config import Settings
from cfcre.data.files import read_json, write_json
from cfcre.errors import DataError, TrackingUnavailable
from cfcre.tracking import runs
from cfcre.tracking.connection import Connection

if TYPE_CHECKING:
    from cfcre.benchmarking.plan import PlannedRun
    from cfcre.benchmarking.study import RunResult

__all__ = ["BenchmarkTracking", "mlflow_installed"]

_IDENTITY = "identity.json"
_ARTIFACTS = "benchmark"

_log = logging.getLogger(__name__)


def mlflow_installed() -> bool:
    """Whether MLflow can be imported; a folder of that name without a module does not count."""
    spec = importlib.util.find_spec("mlflow")
    return spec is not None and spec.origin is not None


class BenchmarkTracking:
    """An observer of :class:`cfcre.benchmarking.study.Study` that logs to MLflow.

    Args:
        settings: Where MLflow is.
        folder: The benchmark's results; keeps the name of its parent run.
        name: Of the data set.
        params: What the parent run lists.

    Raises:
        ConfigurationError: The tracking URI is not accepted.
        TrackingUnavailable: MLflow did not answer.
    """

    def __init__(
        self, settings: Settings, folder: Path, name: str, params: Mapping[str, Any]
    ) -> None:
        self._connection = Connection(settings)
        self._name = _identity(folder, name)
        self.parent = runs.open_run(
            self._connection, self._name, {"cfcre.kind": "benchmark"}, params
        )
        self._children: dict[str, str] = {}
        self._open_keys: set[str] = set()
        self._behind: dict[str, RunResult] = {}

    def run_started(self, run: PlannedRun, key: str, settings: Settings) -> None:
        """Open the child run."""
        self._try(lambda: self._open(run, key))

    def task_done(self, run: PlannedRun, key: str, record: Mapping[str, Any]) -> None:
        """Log the seconds and accuracy of a task while the run goes on."""
        self._try(
            lambda: runs.log_metrics(
                self._connection,
                self._open(run, key),
                {
                    "learning_seconds": record["seconds"]["learning"],
                    "scoring_seconds": record["seconds"]["scoring"],
                    "accuracy": sum(record["scores"]["right"]) / sum(record["scores"]["rows"]),
                },
                record["task"],
            )
        )

    def run_done(self, result: RunResult) -> None:
        """Log the whole run and close it."""
        if not self._try(lambda: self._whole(result)):
            self._behind[result.key] = result

    def finish(self, files: Sequence[Path]) -> None:
        """Log what is missing, the report's files, and close the parent.

        Raises:
            TrackingUnavailable: MLflow does not answer even now; the results are in their folder.
        """
        for result in list(self._behind.values()):
            self._whole(result)
            del self._behind[result.key]
        runs.log_files(self._connection, self.parent, files, _ARTIFACTS)
        runs.close_run(self._connection, self.parent, "FINISHED")

    def fail(self, status: Literal["FAILED", "KILLED"]) -> None:
        """Close what is open of a benchmark that did not come to its end.

        Args:
            status: FAILED or KILLED.
        """
        for run_id in [*(self._children[key] for key in sorted(self._open_keys)), self.parent]:
            self._try(lambda run_id=run_id: runs.close_run(self._connection, run_id, status))

    def _open(self, run: PlannedRun, key: str, settings: Mapping[str, Any] | None = None) -> str:
        if key not in self._children:
            self._children[key] = runs.open_run(
                self._connection,
                f"{self._name}/{key}",
                {"cfcre.kind": "benchmark-run"},
                {"variant": run.variant.label, "method": run.variant.method, "order": run.order},
                parent=self.parent,
            )
            self._open_keys.add(key)
        if settings is not None:
            runs.log_params(self._connection, self._children[key], settings)
        return self._children[key]

    def _whole(self, result: RunResult) -> None:
        from cfcre.benchmarking.figures_of_runs import forgetting, similar
        from cfcre.benchmarking.scoring import macro_accuracy, micro_accuracy

        child = self._open(result.run, result.key, {**result.settings, "code": result.code})
        for record in result.records:
            task, scores, seconds = record["task"], record["scores"], record["seconds"]
            near, count = similar(result, result, task)
            runs.log_metrics(
                self._connection,
                child,
                {
                    "accuracy": micro_accuracy(scores),
                    "macro_accuracy": macro_accuracy(scores),
                    "forgetting": forgetting(result, task),
                    "similar_relations": count,
                    **({} if near is None else {"similar_accuracy": near}),
                    "learning_seconds": seconds["learning"],
                    "scoring_seconds": seconds["scoring"],
                    "steps": record["steps"],
                    "peak_bytes": record["peak_bytes"],
                },
                task,
            )
        runs.close_run(self._connection, child, "FINISHED")
        self._open_keys.discard(result.key)

    def _try(self, log: Any) -> bool:
        try:
            log()
        except TrackingUnavailable as error:
            _log.warning("%s; the benchmark goes on and logs it later", error)
            return False
        return True


def _identity(folder: Path, name: str) -> str:
    """Name of the parent run, drawn once a folder."""
    path = folder / _IDENTITY
    if not path.is_file():
        write_json(path, {"mlflow_run": f"benchmark-{name}-{uuid.uuid4().hex[:12]}"})
    stored = read_json(path)
    if not isinstance(stored, dict) or not isinstance(stored.get("mlflow_run"), str):
        raise DataError(f"{path.name} in {folder.name} is damaged; delete it to log anew")
    return str(stored["mlflow_run"])
