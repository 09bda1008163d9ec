"""Run one learning step where the settings say: here, in processes of this machine, on nodes.

``train_task`` and ``consolidate`` take ``compute.processes``, or a TrainJob where
``pipeline.training`` says so; ``select_memory`` and the embedding of rows to evaluate take
``compute.evaluation_processes``. One process is the call of the library itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.errors import StateError
from cfcre.operations.training.job import (
    EMBEDDINGS_FILE,
    RESULT_FOLDER,
    STATE_FOLDER,
    Step,
    write_job,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cfcre.methods.training import Progress

__all__ = ["Attempt", "consolidate", "embed", "select_memory", "train_task"]

Examples = Sequence[RelationExample]


@dataclass(frozen=True)
class Attempt:
    """The claimed task that a step belongs to; without one there is no TrainJob.

    Attributes:
        run_name: Name of the attempt.
        token: Its fencing token.
        stream: Name of the stream.
        on_start: Given a function to be called should this process be ended from outside.
    """

    run_name: str
    token: int
    stream: str
    on_start: Callable[[Callable[[], None]], object] = lambda cancel: None


def train_task(
    state_in: Path | None,
    train: Examples,
    augmented: Examples,
    out: Path,
    settings: Settings,
    *,
    lineage: Mapping[str, Any],
    progress: Progress,
    attempt: Attempt | None = None,
) -> dict[str, Any]:
    """Phase one, see :func:`cfcre.methods.steps.train_task`."""
    if _elsewhere("train_task", settings, attempt):
        return _hand_over(
            "train_task", state_in, train, out, settings, progress, attempt, augmented, lineage
        )
    from cfcre.methods import steps

    return steps.train_task(
        state_in, train, augmented, out, settings, lineage=lineage, progress=progress
    )


def select_memory(
    state_in: Path, train: Examples, out: Path, settings: Settings, *, progress: Progress
) -> dict[str, Any]:
    """Choice of the memory, see :func:`cfcre.methods.steps.select_memory`."""
    if _elsewhere("select_memory", settings, None):
        return _hand_over("select_memory", state_in, train, out, settings, progress)
    from cfcre.methods import steps

    return steps.select_memory(state_in, train, out, settings, progress=progress)


def consolidate(
    state_in: Path,
    train: Examples,
    out: Path,
    settings: Settings,
    *,
    progress: Progress,
    attempt: Attempt | None = None,
) -> dict[str, Any]:
    """Phase two, see :func:`cfcre.methods.steps.consolidate`."""
    if _elsewhere("consolidate", settings, attempt):
        return _hand_over("consolidate", state_in, train, out, settings, progress, attempt)
    from cfcre.methods import steps

    return steps.consolidate(state_in, train, out, settings, progress=progress)


def embed(state: Path, rows: Examples, settings: Settings) -> npt.NDArray[np.float32]:
    """Unit representations of rows, ``[N, d]``, by ``compute.evaluation_processes`` processes.

    Raises:
        DataError: Head and tail of a row are too far apart for the encoder.
        StateError: The state cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from cfcre.methods.training import no_progress

    with tempfile.TemporaryDirectory(prefix="cfcre-embed-") as folder:
        out = Path(folder) / "embedded"
        _hand_over("embed", state, rows, out, settings, no_progress)
        try:
            return load_file(out / EMBEDDINGS_FILE)["h"]
        except (OSError, KeyError, SafetensorError) as error:
            raise StateError(f"the embedding processes left no result: {error}") from error


def _count(step: Step, settings: Settings) -> int:
    training = step in ("train_task", "consolidate")
    return settings.compute.processes if training else settings.compute.evaluation_processes


def _nodes(settings: Settings, attempt: Attempt | None) -> Attempt | None:
    """The attempt, where its steps are to run on the nodes of a TrainJob."""
    return attempt if settings.pipeline.training == "trainjob" else None


def _elsewhere(step: Step, settings: Settings, attempt: Attempt | None) -> bool:
    return _nodes(settings, attempt) is not None or _count(step, settings) > 1


def _hand_over(
    step: Step,
    state_in: Path | None,
    rows: Examples,
    out: Path,
    settings: Settings,
    progress: Progress,
    attempt: Attempt | None = None,
    augmented: Examples = (),
    lineage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    state = None if state_in is None else state_in.absolute()
    on_nodes = _nodes(settings, attempt)
    with tempfile.TemporaryDirectory(prefix="cfcre-job-") as temporary:
        folder = Path(temporary)
        write_job(
            folder,
            step,
            settings,
            rows,
            augmented=augmented,
            lineage=lineage,
            # Nodes find the state in the job's folder, processes of this machine where it is.
            state=None if state is None else STATE_FOLDER if on_nodes else str(state),
            out=RESULT_FOLDER if on_nodes else str(out.absolute()),
        )
        if on_nodes is not None:
            return _on_nodes(step, folder, state, out, settings, on_nodes)
        from cfcre.operations.training.processes import run_processes

        return run_processes(folder, _count(step, settings), settings.compute, progress)


def _on_nodes(
    step: Step, folder: Path, state: Path | None, out: Path, settings: Settings, attempt: Attempt
) -> dict[str, Any]:
    from cfcre.intake.store import open_store
    from cfcre.methods.state import verify_files
    from cfcre.operations.training.trainjob import Handover, run_train_job
    from cfcre.operations.training.trainjob_client import TrainJobs
    from cfcre.operations.training.trainjob_manifest import job_name

    handover = Handover(
        name=job_name(step, attempt.run_name, attempt.token),
        folder=folder,
        state=state,
        out=out,
        annotations={
            "cfcre.io/run": attempt.run_name,
            "cfcre.io/stream": attempt.stream,
            "cfcre.io/step": step,
        },
    )
    facts = run_train_job(
        handover,
        settings,
        open_store(settings),
        TrainJobs(settings.trainjob.namespace),
        on_start=attempt.on_start,
    )
    verify_files(out)
    return facts
