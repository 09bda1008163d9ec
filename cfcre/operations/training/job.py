"""One learning step described by files, so that other processes and machines can run it.

::

    job.json          step, portable settings, lineage, where the state is and where it goes
    state/            learner state to go on from, where it is not elsewhere on this machine
    train.jsonl       rows
    augmented.jsonl   rows of the auxiliary classes
    facts.json        what the step tells, written last

The same files give the same result: nothing in them depends on time, place or attempt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cfcre.config import Settings
from cfcre.data.files import read_examples, read_json, write_examples, write_json
from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError, DataError, StateError
from cfcre.operations.stages.common import stage_settings

if TYPE_CHECKING:
    from cfcre.methods.training import Progress

__all__ = [
    "EMBEDDINGS_FILE",
    "FACTS_FILE",
    "RESULT_FOLDER",
    "STATE_FOLDER",
    "Job",
    "Step",
    "write_job",
]

JOB_FILE = "job.json"
FACTS_FILE = "facts.json"
STATE_FOLDER = "state"
RESULT_FOLDER = "result"
EMBEDDINGS_FILE = "embeddings.safetensors"

_FORMAT = 1
_TRAIN_FILE = "train.jsonl"
_AUGMENTED_FILE = "augmented.jsonl"

Step = Literal["train_task", "select_memory", "consolidate", "embed"]
"""``embed`` writes unit representations of the rows; the others write a learner state."""


@dataclass(frozen=True)
class Job:
    """A step, read back from its folder.

    Attributes:
        folder: The job's folder.
        step: What to do.
        settings: All settings; connections come from the environment.
        lineage: Of ``train_task``.
        state_in: Learner state to go on from; None for a fresh one.
        out: Folder that the learner state is written to.
    """

    folder: Path
    step: Step
    settings: Settings
    lineage: dict[str, Any]
    state_in: Path | None
    out: Path

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read what :func:`write_job` wrote.

        Raises:
            ConfigurationError: The folder holds no job, or one of another version.
        """
        try:
            data = read_json(folder / JOB_FILE)
            if data["format"] != _FORMAT or data["step"] not in get_args(Step):
                raise KeyError("format or step")
            state = data["state"]
            return cls(
                folder=folder,
                step=data["step"],
                settings=stage_settings(json.dumps(data["settings"])),
                lineage=dict(data["lineage"]),
                # Joining an absolute path gives that path.
                state_in=None if state is None else folder / state,
                out=folder / data["out"],
            )
        except (DataError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{folder} holds no training job of this version: {error}"
            ) from error

    def digest(self) -> bytes:
        """SHA-256 over job, rows and the description of the state, which names its files' own.

        Raises:
            StateError: One of these files is missing.
        """
        digest = hashlib.sha256()
        paths = [self.folder / name for name in (JOB_FILE, _TRAIN_FILE, _AUGMENTED_FILE)]
        if self.state_in is not None:
            paths.append(self.state_in / "state.json")
        for path in paths:
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise StateError(
                    f"the training job lacks {path.name}: {error.strerror or error}"
                ) from error
        return digest.digest()

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do the step in this process, as one of its group.

        Returns:
            What the step tells; empty for ``embed``.

        Raises:
            StateError: The state cannot be read, or the result is not finite.
        """
        from cfcre.methods import steps

        rows = read_examples(self.folder / _TRAIN_FILE)
        if self.step == "train_task":
            return steps.train_task(
                self.state_in,
                rows,
                read_examples(self.folder / _AUGMENTED_FILE),
                self.out,
                self.settings,
                lineage=self.lineage,
                progress=progress,
            )
        if self.state_in is None:
            raise ConfigurationError(f"the step {self.step} needs a learner state to go on from")
        if self.step == "embed":
            self._embed(self.state_in, rows)
            return {}
        step = steps.select_memory if self.step == "select_memory" else steps.consolidate
        return step(self.state_in, rows, self.out, self.settings, progress=progress)

    def _embed(self, state: Path, rows: Sequence[RelationExample]) -> None:
        from safetensors.numpy import save_file

        from cfcre.methods.predictor import Predictor
        from cfcre.modeling.parallel import current_group

        embedded = Predictor.load(state, self.settings).embed(rows)
        if current_group().leads:
            self.out.mkdir(parents=True, exist_ok=True)
            save_file({"h": embedded}, self.out / EMBEDDINGS_FILE)


def write_job(
    folder: Path,
    step: Step,
    settings: Settings,
    train: Sequence[RelationExample],
    *,
    augmented: Sequence[RelationExample] = (),
    lineage: Mapping[str, Any] | None = None,
    state: str | None = None,
    out: str = RESULT_FOLDER,
) -> None:
    """Describe a step.

    Args:
        folder: An existing folder.
        step: What to do.
        settings: All settings; only what is portable is written.
        train: Rows.
        augmented: Rows of the auxiliary classes, for ``train_task``.
        lineage: Of ``train_task``.
        state: The learner state: an absolute path, or relative to the folder; None for a fresh one.
        out: Where the result goes, likewise.
    """
    write_examples(folder / _TRAIN_FILE, train)
    write_examples(folder / _AUGMENTED_FILE, augmented)
    write_json(
        folder / JOB_FILE,
        {
            "format": _FORMAT,
            "step": step,
            "settings": settings.portable(),
            "lineage": dict(lineage or {}),
            "state": state,
            "out": out,
        },
    )
