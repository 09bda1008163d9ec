"""Registered models that belong together: NAME, NAME-spans and NAME-extractor of one store.

All are made alike: a folder ``artifacts/state`` of JSON and safetensors, found by the file that
describes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cfcre.config import Settings
from cfcre.data.files import atomic_directory
from cfcre.errors import StateError
from cfcre.tracking.connection import Connection
from cfcre.tracking.faults import redact, tracking_errors
from cfcre.tracking.packaging import STATE_FOLDER
from cfcre.tracking.versions import alias

__all__ = ["champion_of", "connect", "folder_of", "tags_of"]


def connect(settings: Settings, name: str) -> Connection:
    """The store, asked about the registered model of that name."""
    tracking = settings.tracking.model_copy(update={"registered_model": name})
    return Connection(settings.model_copy(update={"tracking": tracking}))


def champion_of(connection: Connection) -> str | None:
    """Version behind the alias ``champion``; None where the alias or the model does not exist.

    An embedded store that does not exist is not made only to be asked.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    settings = connection.settings
    if settings.tracking.uri is None and not (settings.home / "mlflow.db").exists():
        return None
    return alias(connection, "champion")


def tags_of(connection: Connection, version: str) -> Mapping[str, str]:
    """Tags of a version, without the prefix ``cfcre.``; others are left out.

    Raises:
        NotFoundError: The version does not exist.
        TrackingUnavailable: MLflow did not answer.
    """
    with tracking_errors(f"find version {version}", connection.uri):
        found = connection.client.get_model_version(connection.model_name, version)
    return {k.removeprefix("cfcre."): v for k, v in found.tags.items() if k.startswith("cfcre.")}


def folder_of(connection: Connection, version: str, description: str) -> Path:
    """Local folder of a version's state: in place where possible, else downloaded once.

    Args:
        connection: The store.
        version: Version number.
        description: File that every state of this kind holds, for example ``model.json``.

    Raises:
        NotFoundError: The version does not exist.
        StateError: Its files are gone, or not those that were registered.
        TrackingUnavailable: MLflow or its artifact store did not answer.
    """
    name = connection.model_name
    with tracking_errors(f"find version {version} of {name}", connection.uri):
        item = connection.client.get_model_version(name, version)
        uri = connection.client.get_model_version_download_uri(name, version)
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        local = Path(unquote(parts.path)) / STATE_FOLDER
        if not (local / description).is_file():
            raise StateError(
                f"version {version} of {name} is not where MLflow says it is ({local}); restore "
                "the artifact folder, or promote another version"
            )
    else:
        identity = item.model_id or hashlib.sha256(uri.encode()).hexdigest()[:32]
        local = _download(connection, f"{uri.rstrip('/')}/{STATE_FOLDER}", identity, description)
    # The description holds the digests of all other files, which are compared when they are read.
    digest = item.tags.get("cfcre.state")
    if digest and hashlib.sha256((local / description).read_bytes()).hexdigest() != digest:
        raise StateError(
            f"version {version} of {name}: {description} is not the one that was registered (tag "
            "cfcre.state); restore the artifacts, or promote another version"
        )
    return local


def _download(connection: Connection, uri: str, identity: str, description: str) -> Path:
    from mlflow.artifacts import download_artifacts

    target = connection.settings.home.absolute() / "cache" / "models" / identity
    if (target / "state" / description).is_file():
        return target / "state"
    with (
        tracking_errors(f"download {connection.model_name}", connection.uri),
        atomic_directory(target) as partial,
    ):
        local = Path(
            download_artifacts(artifact_uri=uri, dst_path=str(partial), tracking_uri=connection.uri)
        )
        if not (local / description).is_file():
            raise StateError(f"{redact(uri)} holds no {description}; register the version again")
        if local != partial / "state":
            local.rename(partial / "state")
    return target / "state"
