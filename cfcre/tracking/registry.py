"""Registering: one version a learned batch, found again by its tags, never made twice."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.errors import ConfigurationError
from cfcre.tracking.card import DESCRIPTION_CHARS, model_card
from cfcre.tracking.connection import Connection, is_server, quote_filter
from cfcre.tracking.faults import tracking_errors
from cfcre.tracking.kinds import ModelKind
from cfcre.tracking.packaging import build_model_folder, check_state
from cfcre.tracking.runs import finite_json

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

__all__ = ["register", "register_state", "state_digest"]

_REQUIRED = ("stream", "batch_hash", "task")


def register(
    connection: Connection,
    run_id: str,
    state_dir: Path,
    evaluation: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """Register the learner state of a batch; an existing version of the batch is returned as it is.

    Args:
        connection: The store.
        run_id: Run of the task.
        state_dir: Learner state.
        evaluation: What the evaluate stage returned.
        facts: ``stream``, ``batch_hash`` and ``task`` (required); ``batch_name``, ``token``,
            ``parent_version``, ``verdict`` (text or mapping, see :func:`model_card`),
            ``code_version`` and whatever else the model card shows.

    Returns:
        The version's number as text.

    Raises:
        ConfigurationError: A required fact is missing.
        StateError: The folder is no learner state, or holds a pickle.
        TrackingUnavailable: MLflow did not answer.
    """
    tags = {
        "relations": evaluation.get("relations_seen"),
        "average_accuracy": finite_json(evaluation.get("average_accuracy")),
        "forgetting": finite_json(evaluation.get("forgetting")),
    }
    return register_state(
        connection,
        run_id,
        state_dir,
        facts,
        tags=tags,
        card=lambda limit: model_card(evaluation, facts, limit=limit),
    )


def register_state(
    connection: Connection,
    run_id: str,
    state_dir: Path,
    facts: Mapping[str, Any],
    *,
    tags: Mapping[str, Any],
    card: Callable[[int | None], str],
) -> str:
    """Register a state of the connection's kind, once a batch.

    Lineage tags are set in the very request that creates the version, so a version without them
    never exists and a killed step finds, at its next try, either nothing or the whole.

    Args:
        connection: The store, and the kind of model.
        run_id: Run of the task.
        state_dir: The state.
        facts: As for :func:`register`.
        tags: More tags, of this kind of model; values that are None are left out.
        card: Writes the model card, in so many characters at most.

    Returns:
        The version's number as text.

    Raises:
        ConfigurationError: A required fact is missing.
        StateError: The folder is no such state, or holds a pickle.
        TrackingUnavailable: MLflow did not answer.
    """
    missing = [name for name in _REQUIRED if facts.get(name) in (None, "")]
    if missing:
        raise ConfigurationError(f"register needs the facts {', '.join(missing)}")
    with tracking_errors("register the model version", connection.uri), connection.lock():
        existing = _versions_of(connection, str(facts["stream"]), str(facts["batch_hash"]))
        if existing:
            return existing[0]
        check_state(state_dir, connection.kind)
        _ensure_registered_model(connection)
        logged = _logged_model(connection, run_id, state_dir, facts)
        connection.client.log_text(run_id, card(None), "model_card.md")
        created = connection.client.create_model_version(
            connection.model_name,
            # A server resolves the model id itself and refuses other sources; the embedded
            # registry would resolve it through MLflow's global URI, which is not ours.
            source=(
                f"models:/{logged.model_id}"
                if is_server(connection.uri)
                else logged.artifact_location
            ),
            run_id=run_id,
            model_id=logged.model_id,
            tags=_version_tags(state_digest(state_dir, connection.kind), facts, tags),
            description=card(DESCRIPTION_CHARS),
        )
        # The logged model's page in the UI links its versions by this tag.
        link = [{"name": created.name, "version": created.version}]
        connection.client.set_logged_model_tags(
            logged.model_id, {"mlflow.modelVersions": json.dumps(link)}
        )
        return _first_of_racers(connection, str(created.version), facts)


def _versions_of(connection: Connection, stream: str, batch_hash: str) -> list[str]:
    """Versions of a batch, lowest first."""
    found = connection.client.search_model_versions(
        f"name = {quote_filter(connection.model_name)} "
        f"and tags.`cfcre.stream` = {quote_filter(stream)} "
        f"and tags.`cfcre.batch` = {quote_filter(batch_hash)}"
    )
    return [str(version) for version in sorted(int(item.version) for item in found)]


def _first_of_racers(connection: Connection, mine: str, facts: Mapping[str, Any]) -> str:
    """Where two hosts registered a batch at once, the lowest version stays and the other goes.

    MLflow has no unique tags. The ledger's fencing keeps two runs of a batch apart; this is the
    second line, and both racers come to the same answer.
    """
    found = _versions_of(connection, str(facts["stream"]), str(facts["batch_hash"]))
    first = found[0] if found else mine
    if first != mine:
        connection.client.delete_model_version(connection.model_name, mine)
    return first


def _ensure_registered_model(connection: Connection) -> None:
    from mlflow.exceptions import MlflowException

    try:
        connection.client.create_registered_model(
            connection.model_name,
            description=connection.kind.about,
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model(
    connection: Connection, run_id: str, state_dir: Path, facts: Mapping[str, Any]
) -> LoggedModel:
    """The uploaded MLflow model of this state; an upload cut off is done again in place."""
    from mlflow.models import Model

    client = connection.client
    experiment = str(client.get_run(run_id).info.experiment_id)
    tags = {
        "cfcre.stream": str(facts["stream"]),
        "cfcre.batch": str(facts["batch_hash"]),
        "cfcre.state": state_digest(state_dir, connection.kind),
    }
    condition = " AND ".join(f"tags.`{key}` = {quote_filter(v)}" for key, v in tags.items())
    found = client.search_logged_models([experiment], filter_string=condition)
    for candidate in found:
        if str(candidate.status) == "READY":
            return candidate
    # A half-made upload is this claim's own only if it carries the claim's token: a process that
    # lost its lease may still be writing into its own.
    token = str(facts.get("token", ""))
    logged = next((m for m in found if m.tags.get("cfcre.token") == token), None)
    if logged is None:
        name = f"{connection.model_name}-task-{int(facts['task']):02d}"
        logged = client.create_logged_model(
            experiment, name, source_run_id=run_id, tags={**tags, "cfcre.token": token}
        )
    model = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        run_id=run_id,
        metadata=tags,
    )
    with tempfile.TemporaryDirectory(prefix="cfcre-register-") as temporary:
        folder = Path(temporary) / "model"
        build_model_folder(folder, state_dir, model, connection.kind)
        client.log_model_artifacts(logged.model_id, str(folder))
    return client.finalize_logged_model(logged.model_id, "READY")


def state_digest(state_dir: Path, kind: ModelKind) -> str:
    """SHA-256 of the file that holds the digests of every other file of a state."""
    return hashlib.sha256((state_dir / kind.description).read_bytes()).hexdigest()


def _version_tags(digest: str, facts: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, str]:
    verdict = facts.get("verdict")
    if isinstance(verdict, Mapping):
        verdict = verdict.get("verdict") or verdict.get("decision")
    values = {
        "stream": facts["stream"],
        "batch": facts["batch_hash"],
        "batch_name": facts.get("batch_name"),
        "task": facts["task"],
        "token": facts.get("token"),
        "parent_version": facts.get("parent_version"),
        **own,
        "verdict": verdict,
        "code_version": facts.get("code_version"),
        "state": digest,
    }
    return {f"cfcre.{name}": str(v) for name, v in values.items() if v is not None}
