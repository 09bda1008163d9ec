"""What a stream has learned: its batches, and where their learner states lie.

A version's local folder is kept as a fact of its batch in the ledger, because importing MLflow
takes seconds and most stages only need the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.tracking.kinds import RELATIONS, ModelKind

if TYPE_CHECKING:
    from cfcre.operations.ledger import Ledger

__all__ = ["STATE_FACT", "learned_tasks", "state_folder", "stream_of_version"]

STATE_FACT = "state_folder"
"""Name of the ledger's fact that holds a version's local folder."""

_LEARNED = ("promoted", "held")


def learned_tasks(ledger: Ledger, stream: str | None = None) -> list[dict[str, Any]]:
    """The learned tasks of a stream, as ``cfcre status`` shows them, with ``stream``.

    Without a stream those of all streams whose tasks make versions of the ledger's model.
    """
    return [
        {**task, "stream": found["name"]}
        for found in ledger.status(stream)["streams"]
        if stream is not None or ledger.makes_versions(found["name"])
        for task in found["tasks"]
        if task["state"] in _LEARNED
    ]


def stream_of_version(ledger: Ledger, version: str) -> str | None:
    """The stream whose batch a version was registered for; None where the ledger knows none."""
    streams = {task["model_version"]: task["stream"] for task in learned_tasks(ledger)}
    return streams.get(version)


def state_folder(
    settings: Settings, ledger: Ledger, version: str, kind: ModelKind = RELATIONS
) -> Path:
    """Local folder of a version's state; downloaded where it is not on this machine.

    Args:
        settings: Settings of the home.
        ledger: Asked about the model of that kind.
        version: Number of the version.
        kind: What kind of model it is.

    Raises:
        NotFoundError: The version does not exist.
        StateError: Its files are gone.
        TrackingUnavailable: MLflow did not answer.
    """
    for task in learned_tasks(ledger):
        if task["model_version"] == version:
            known = ledger.batch(task["batch"], task["stream"]).facts.get(STATE_FACT)
            if known and (Path(known) / kind.description).is_file():
                return Path(known)
    from cfcre.operations.tracking_store import open_tracker

    return open_tracker(settings, kind).state_path(version)
