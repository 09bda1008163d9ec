"""A registered version brought to this machine whole and checked, for a process that serves it.

Nothing of a version is executed: its learner state is safetensors and JSON, and of MLflow's own
files only ``MLmodel`` is read. The registry's database says which state belongs to a version (the
tag ``cfcre.state``), so that files changed behind its back are refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cfcre.errors import StateError
from cfcre.tracking.connection import Connection
from cfcre.tracking.faults import redact, tracking_errors
from cfcre.tracking.packaging import STATE_FOLDER, check_state
from cfcre.tracking.versions import alias

__all__ = ["RegisteredVersion", "aliased", "download"]

_MLMODEL = "MLmodel"
_MAX_MLMODEL_BYTES = 1_000_000
# Written into a state after its digests were taken.
_UNLISTED = {"state.json", "evaluation.json"}


@dataclass(frozen=True)
class RegisteredVersion:
    """A version as the registry describes it.

    Attributes:
        version: Its number.
        source: Where its files are; may hold credentials, so it is never shown whole.
        state: SHA-256 of its ``state.json``, which holds the digests of all other files.
    """

    version: str
    source: str
    state: str | None

    @property
    def identity(self) -> str:
        """Tells two versions apart even where one number was used twice."""
        return f"{self.version}:{self.state}"


def aliased(connection: Connection, name: str) -> RegisteredVersion | None:
    """The version behind an alias; None where the alias or the model does not exist.

    Raises:
        NotFoundError: The version was deleted between the two questions.
        TrackingUnavailable: MLflow did not answer.
    """
    version = alias(connection, name)
    if version is None:
        return None
    with tracking_errors(f"find version {version}", connection.uri):
        client, model = connection.client, connection.model_name
        item = client.get_model_version(model, version)
        uri = client.get_model_version_download_uri(model, version)
    return RegisteredVersion(version, uri, item.tags.get("cfcre.state"))


def download(
    connection: Connection, registered: RegisteredVersion, folder: Path, max_bytes: int
) -> Path:
    """Copy a version into an empty folder, ``MLmodel`` and learner state, and check it.

    Args:
        connection: The store.
        registered: From :func:`aliased`.
        folder: Empty folder; the caller removes it.
        max_bytes: Largest sum of file sizes accepted.

    Returns:
        The folder of the learner state, inside ``folder``.

    Raises:
        StateError: The version is too large, not what the registry says it is, or no cfcre model.
        TrackingUnavailable: MLflow or its artifact store did not answer.
    """
    from mlflow.artifacts import download_artifacts

    root = registered.source.rstrip("/")
    with tracking_errors(f"download version {registered.version}", connection.uri):
        size = _listed_bytes(f"{root}/{STATE_FOLDER}", connection.uri, max_bytes)
        if size > max_bytes:
            raise StateError(
                f"version {registered.version} has more than {max_bytes} bytes; raise "
                "serving.max_model_bytes if that is meant"
            )
        for name, target in ((_MLMODEL, folder), (STATE_FOLDER, folder / "artifacts")):
            target.mkdir(exist_ok=True)
            download_artifacts(
                artifact_uri=f"{root}/{name}", dst_path=str(target), tracking_uri=connection.uri
            )
    state = folder / STATE_FOLDER
    if not state.is_dir() or not (folder / _MLMODEL).is_file():
        raise StateError(
            f"version {registered.version} has no files at {redact(registered.source)}; restore "
            "the artifacts, or promote another version"
        )
    _verify(folder, state, registered)
    return state


def _listed_bytes(uri: str, tracking_uri: str, enough: int) -> int:
    """Bytes below a folder of artifacts, by what the artifact store lists."""
    from mlflow.artifacts import list_artifacts

    total = 0
    pending = [uri]
    while pending and total <= enough:
        folder = pending.pop()
        for entry in list_artifacts(artifact_uri=folder, tracking_uri=tracking_uri):
            if entry.is_dir:
                pending.append(f"{folder}/{entry.path.rsplit('/', 1)[-1]}")
            else:
                total += entry.file_size or 0
    return total


def _verify(folder: Path, state: Path, registered: RegisteredVersion) -> None:
    from cfcre.methods.state import read_description

    if (folder / _MLMODEL).stat().st_size > _MAX_MLMODEL_BYTES:
        raise StateError(f"version {registered.version}: its MLmodel is too large")
    check_state(state)
    if registered.state is None:
        raise StateError(
            f"version {registered.version} carries no tag cfcre.state: it was not registered by "
            "cfcre, so there is nothing to check its files against"
        )
    found = hashlib.sha256((state / "state.json").read_bytes()).hexdigest()
    if found != registered.state:
        raise StateError(
            f"version {registered.version}: state.json is not the one that was registered (tag "
            "cfcre.state); restore the artifacts, or promote another version"
        )
    # The digests themselves are compared where the state is read, file by file.
    listed = set(read_description(state)["files"]) | _UNLISTED
    present = {p.relative_to(state).as_posix() for p in state.rglob("*") if not p.is_dir()}
    if extra := sorted(present - listed):
        raise StateError(
            f"version {registered.version} holds {extra[0]!r}, which its state.json does not list"
        )
