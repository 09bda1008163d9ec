"""Registered versions: what there is, which alias points where, and where a state lies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cfcre.data.files import atomic_directory
from cfcre.errors import ConfigurationError, NotFoundError, StateError
from cfcre.tracking.connection import Connection, quote_filter
from cfcre.tracking.faults import redact, tracking_errors
from cfcre.tracking.packaging import STATE_FOLDER

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["alias", "delete_alias", "set_alias", "state_path", "versions"]

_PAGE = 1000
# Of span models and extractors alone.
_OWN_TAGS = ("entities_f1", "relations_f1", "spans_version", "relations_version", "state")


def set_alias(connection: Connection, name: str, version: str) -> None:
    """Point an alias at a version. Doing it again changes nothing.

    Raises:
        ConfigurationError: The alias is reserved by MLflow (``latest``, ``v<N>``).
        NotFoundError: The version does not exist.
        TrackingUnavailable: MLflow did not answer.
    """
    if name.lower() == "latest" or (name[:1].lower() == "v" and name[1:].isdigit()):
        raise ConfigurationError(f"MLflow reserves the alias {name!r}; take another, as 'champion'")
    _number(version)
    with tracking_errors(f"move the alias {name!r} to version {version}", connection.uri):
        client = connection.client
        client.get_model_version(connection.model_name, version)
        client.set_registered_model_alias(connection.model_name, name, version)


def delete_alias(connection: Connection, name: str) -> None:
    """Remove an alias; none is there is fine.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    if alias(connection, name) is not None:
        with tracking_errors(f"remove the alias {name!r}", connection.uri):
            connection.client.delete_registered_model_alias(connection.model_name, name)


def _aliases(connection: Connection) -> dict[str, str]:
    try:
        with tracking_errors("read the aliases", connection.uri):
            model = connection.client.get_registered_model(connection.model_name)
    except NotFoundError:
        return {}  # nothing was registered yet
    return {str(name): str(version) for name, version in model.aliases.items()}


def alias(connection: Connection, name: str) -> str | None:
    """Version behind an alias; None where the alias or the model does not exist.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    return _aliases(connection).get(name)


def versions(connection: Connection) -> list[dict[str, Any]]:
    """All versions, oldest first, each with aliases and lineage; empty where none is registered.

    Raises:
        TrackingUnavailable: MLflow did not answer.
    """
    found: list[ModelVersion] = []
    token: str | None = None
    with tracking_errors("list the model versions", connection.uri):
        condition = f"name = {quote_filter(connection.model_name)}"
        while True:
            page = connection.client.search_model_versions(
                condition, max_results=_PAGE, page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                break
    by_version: dict[str, list[str]] = {}
    for name, version in sorted(_aliases(connection).items()):
        by_version.setdefault(version, []).append(name)
    found.sort(key=lambda item: int(item.version))
    return [_summary(item, by_version.get(str(item.version), [])) for item in found]


def _summary(item: ModelVersion, aliases: list[str]) -> dict[str, Any]:
    tags = {k.removeprefix("cfcre."): v for k, v in item.tags.items() if k.startswith("cfcre.")}
    accuracy = tags.get("average_accuracy")
    forgetting = tags.get("forgetting")
    return {
        "version": str(item.version),
        "aliases": aliases,
        "run_id": item.run_id,
        "created_ms": item.creation_timestamp,
        "stream": tags.get("stream"),
        "task": _maybe_int(tags.get("task")),
        "batch": tags.get("batch"),
        "batch_name": tags.get("batch_name"),
        "relations": _maybe_int(tags.get("relations")),
        "average_accuracy": None if accuracy is None else float(accuracy),
        "forgetting": None if forgetting is None else float(forgetting),
        "verdict": tags.get("verdict"),
        "parent_version": tags.get("parent_version"),
        "token": _maybe_int(tags.get("token")),
        "code_version": tags.get("code_version"),
        **{key: tags[key] for key in _OWN_TAGS if key in tags},
    }


def _maybe_int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _number(version: str) -> str:
    if not str(version).isdigit():
        raise NotFoundError(f"{version!r} is no model version; 'cfcre models' lists them")
    return str(version)


def state_path(connection: Connection, version: str) -> Path:
    """Local folder of a version's state: in place where possible, else downloaded once.

    Args:
        connection: The store.
        version: Version number.

    Raises:
        NotFoundError: The version does not exist.
        StateError: Its artifacts are gone.
        TrackingUnavailable: MLflow or its artifact store did not answer.
    """
    with tracking_errors(f"find version {version}", connection.uri):
        client = connection.client
        item = client.get_model_version(connection.model_name, _number(version))
        uri = client.get_model_version_download_uri(connection.model_name, str(version))
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        local = Path(unquote(parts.path)) / STATE_FOLDER
        if not (local / connection.kind.description).is_file():
            raise StateError(
                f"the {connection.kind.noun} of version {version} is not where MLflow says it is "
                f"({local}); restore the artifact folder, or register the batch again in a new home"
            )
        return local
    # A model id is unique; a version number is not, once a home changes servers.
    identity = item.model_id or hashlib.sha256(uri.encode()).hexdigest()[:32]
    return _download(connection, f"{uri.rstrip('/')}/{STATE_FOLDER}", identity)


def _download(connection: Connection, uri: str, identity: str) -> Path:
    from mlflow.artifacts import download_artifacts

    target = connection.settings.home.absolute() / "cache" / "models" / identity
    description, noun = connection.kind.description, connection.kind.noun
    if (target / "state" / description).is_file():
        return target / "state"
    with (
        tracking_errors(f"download the {noun}", connection.uri),
        atomic_directory(target) as partial,
    ):
        local = Path(
            download_artifacts(artifact_uri=uri, dst_path=str(partial), tracking_uri=connection.uri)
        )
        if not (local / description).is_file():
            raise StateError(f"{redact(uri)} holds no {noun}; register the batch again")
        if local != partial / "state":
            local.rename(partial / "state")
    return target / "state"
