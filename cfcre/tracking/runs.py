"""One MLflow run a task: parameters, losses, evaluation, stage times, pictures.

Every function may be called again for the same task, by a retried step or by another process,
and leaves what one call would have left: a run is found by its name tag, a metric point is
written once, a parameter that changed is noted instead of failing the step.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cfcre.errors import NotFoundError
from cfcre.tracking.connection import Connection, quote_filter
from cfcre.tracking.faults import tracking_errors

if TYPE_CHECKING:
    from mlflow.entities import Metric

__all__ = [
    "RUN_NAME_TAG",
    "close_run",
    "evaluation_metrics",
    "finite_json",
    "log_document",
    "log_evaluation",
    "log_files",
    "log_losses",
    "log_metrics",
    "log_params",
    "log_stage_seconds",
    "open_run",
]

RUN_NAME_TAG = "cfcre.run_name"
CHANGED_PARAM_TAG = "cfcre.param_changed."
NON_FINITE_TAG = "cfcre.non_finite_metric"
# The tag by which MLflow's UI finds tables among a run's artifacts.
_TABLES_TAG = "mlflow.loggedArtifacts"
_PARENT_TAG = "mlflow.parentRunId"
_MATRIX_FILE = "evaluation/accuracy_matrix.json"
_METRICS_A_BATCH = 1000
_PARAMS_A_BATCH = 100
_PARAM_CHARS = 6000

_log = logging.getLogger(__name__)


def open_run(
    connection: Connection,
    run_name: str,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    parent: str | None = None,
) -> str:
    """Open the run of that name, or reopen it; returns its id.

    ``MLFLOW_RUN_ID``, where a platform sets it, names the run to use, in whichever experiment it
    is: Kubeflow makes one for every step and gives a step that is tried again the same one. The
    variable is only read: MLflow's own ``start_run`` takes it out of the environment. It names no
    run that has a parent.

    Args:
        connection: The store.
        run_name: Deterministic name of the task's run.
        tags: Tags to set.
        params: Settings to log; nested mappings become dotted names.
        parent: Id of the run under which MLflow shows this one.

    Raises:
        NotFoundError: ``MLFLOW_RUN_ID`` names no run.
        TrackingUnavailable: MLflow did not answer.
    """
    client = connection.client
    all_tags = {**(tags or {}), RUN_NAME_TAG: run_name}
    if parent is not None:
        all_tags[_PARENT_TAG] = parent
    given = None if parent is not None else os.environ.get("MLFLOW_RUN_ID")
    # Not asked for where a run is given: it would make an experiment that nothing goes into.
    experiment = "" if given else connection.experiment_id
    with tracking_errors(f"open the run {run_name!r}", connection.uri), connection.lock():
        run_id = given or _find_run(connection, run_name)
        if run_id is None:
            run_id = str(
                client.create_run(experiment, run_name=run_name, tags=all_tags).info.run_id
            )
        else:
            run = client.get_run(run_id)
            if run.info.lifecycle_stage == "deleted":
                raise NotFoundError(
                    f"the MLflow run {run_id} was deleted; "
                    f"run 'mlflow runs restore --run-id {run_id}'"
                )
            if run.info.status != "RUNNING":
                client.update_run(run_id, status="RUNNING")
            _set_tags(connection, run_id, all_tags)
    log_params(connection, run_id, params or {})
    return run_id


def _find_run(connection: Connection, run_name: str) -> str | None:
    runs = connection.client.search_runs(
        [connection.experiment_id],
        filter_string=f"tags.`{RUN_NAME_TAG}` = {quote_filter(run_name)}",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def _set_tags(connection: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    items = [RunTag(key, str(value)) for key, value in tags.items()]
    for start in range(0, len(items), _PARAMS_A_BATCH):
        connection.client.log_batch(run_id, tags=items[start : start + _PARAMS_A_BATCH])


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            text = (
                value
                if isinstance(value, str)
                else json.dumps(value, ensure_ascii=False, default=str)
            )
            flat[f"{prefix}{key}"] = text[:_PARAM_CHARS]
    return flat


def log_params(connection: Connection, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters; one logged before with another value goes to a ``cfcre.param_changed.`` tag.

    MLflow raises when a parameter changes. A step retried after the operator changed a setting
    must not die of that, and must not hide it either.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    from mlflow.entities import Param

    with tracking_errors("log parameters", connection.uri):
        given = _flatten(params)
        logged = connection.client.get_run(run_id).data.params if given else {}
        new = [Param(key, value) for key, value in given.items() if key not in logged]
        changed = {
            CHANGED_PARAM_TAG + key: value
            for key, value in given.items()
            if key in logged and logged[key] != value
        }
        for start in range(0, len(new), _PARAMS_A_BATCH):
            connection.client.log_batch(run_id, params=new[start : start + _PARAMS_A_BATCH])
        if changed:
            _set_tags(connection, run_id, changed)


def log_losses(
    connection: Connection, run_id: str, losses: Iterable[Mapping[str, Any]], prefix: str
) -> None:
    """Log per-step losses as ``prefix/phase/part``; the phase is left out where it is the prefix.

    Args:
        connection: The store.
        run_id: The run.
        losses: ``{"phase", "step", "loss", "<part>": value}``, optionally ``timestamp`` in ms.
        prefix: Stage name.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    points: list[tuple[str, Any, int, int | None]] = []
    for entry in losses:
        phase = str(entry.get("phase") or prefix)
        group = prefix if phase == prefix else f"{prefix}/{phase}"
        for part, value in entry.items():
            if part not in ("phase", "step", "timestamp") and value is not None:
                points.append(
                    (f"{group}/{part}", value, int(entry["step"]), entry.get("timestamp"))
                )
    _log_points(connection, run_id, points)


def evaluation_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of an evaluation; values that do not exist (None) are left out."""
    metrics: dict[str, Any] = {
        name: evaluation.get(name)
        for name in ("average_accuracy", "overall_accuracy", "forgetting", "relations_seen")
    }
    for task, value in enumerate(evaluation.get("accuracy") or [], start=1):
        metrics[f"accuracy_task_{task:02d}"] = value
    flips = evaluation.get("negative_flips") or {}
    # Without a champion no row was compared, and its rate of 0.0 would read as a result.
    metrics["negative_flip_rate"] = flips.get("rate") if flips.get("rows") else None
    return {name: float(value) for name, value in metrics.items() if value is not None}


def log_evaluation(connection: Connection, run_id: str, evaluation: Mapping[str, Any]) -> None:
    """Log an evaluation: metrics at step ``task``, the whole as JSON, the matrix as a table.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    step = int(evaluation.get("task") or 0)
    metrics = evaluation_metrics(evaluation)
    _log_points(connection, run_id, [(name, v, step, None) for name, v in metrics.items()])
    matrix = evaluation.get("accuracy_matrix") or []
    width = max((len(row) for row in matrix), default=0)
    # MLflow's own log_table appends to a table that is there; a retry must replace it.
    table = {
        "columns": ["after_task", *(f"task_{task:02d}" for task in range(1, width + 1))],
        "data": [
            [task, *row, *[None] * (width - len(row))] for task, row in enumerate(matrix, start=1)
        ],
    }
    with tracking_errors("log the evaluation", connection.uri):
        client = connection.client
        client.log_dict(run_id, finite_json(evaluation), "evaluation/evaluation.json")
        client.log_dict(run_id, finite_json(table), _MATRIX_FILE)
        entry = {"path": _MATRIX_FILE, "type": "table"}
        client.set_tag(run_id, _TABLES_TAG, json.dumps([entry]))


def log_document(
    connection: Connection, run_id: str, document: Mapping[str, Any], file: str
) -> None:
    """Log a JSON document as an artifact; values that are not finite become null.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    with tracking_errors(f"log {file}", connection.uri):
        connection.client.log_dict(run_id, finite_json(document), file)


def log_stage_seconds(connection: Connection, run_id: str, seconds: Mapping[str, float]) -> None:
    """Log wall seconds as ``seconds/<stage>``.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    _log_points(connection, run_id, [(f"seconds/{s}", v, 0, None) for s, v in seconds.items()])


def log_metrics(
    connection: Connection, run_id: str, metrics: Mapping[str, float], step: int = 0
) -> None:
    """Log metrics by their names, at a step.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    _log_points(connection, run_id, [(name, v, step, None) for name, v in metrics.items()])


def log_files(
    connection: Connection, run_id: str, paths: Iterable[Path], folder: str | None = None
) -> None:
    """Upload files into an artifact folder of the run.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    with tracking_errors("log files", connection.uri):
        for path in paths:
            connection.client.log_artifact(run_id, str(path), folder)


def close_run(
    connection: Connection, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"]
) -> None:
    """End the run.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    with tracking_errors("close the run", connection.uri):
        connection.client.set_terminated(run_id, status=status)


def _log_points(
    connection: Connection, run_id: str, points: Sequence[tuple[str, Any, int, int | None]]
) -> None:
    """Write metric points that are not there yet, a thousand a request.

    A value that is not finite is written as NaN: MLflow would store infinity as 1.8e308, which
    flattens every other point of the plot.
    """
    from mlflow.entities import Metric

    with tracking_errors("log metrics", connection.uri):
        there = {
            key: {
                (m.step, _comparable(m.value))
                for m in connection.client.get_metric_history(run_id, key)
            }
            for key in {point[0] for point in points} & _logged_metrics(connection, run_id)
        }
        now = int(time.time() * 1000)
        metrics: list[Metric] = []
        broken: list[str] = []
        for key, raw, step, timestamp in points:
            value = float(raw)
            if not math.isfinite(value):
                broken.append(f"{key} at step {step}")
                value = math.nan
            if (step, _comparable(value)) not in there.get(key, set()):
                metrics.append(Metric(key, value, timestamp or now, step))
        for start in range(0, len(metrics), _METRICS_A_BATCH):
            batch = metrics[start : start + _METRICS_A_BATCH]
            connection.client.log_batch(run_id, metrics=batch)
        if broken:
            _log.warning("%d metric values are not finite, first %s", len(broken), broken[0])
            connection.client.set_tag(run_id, NON_FINITE_TAG, broken[0])


def _logged_metrics(connection: Connection, run_id: str) -> set[str]:
    return set(connection.client.get_run(run_id).data.metrics)


def _comparable(value: float) -> float | None:
    return None if math.isnan(value) else value  # NaN is not equal to itself


def finite_json(value: Any) -> Any:
    """A copy in which values that JSON can not hold (NaN, infinity) are null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    return value
