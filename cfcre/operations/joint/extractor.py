"""The extractor follows the champions of the two models that it joins.

It has no gate of its own: what it refers to was judged already. A version is a pair, one version of
the span model and one of the relation model (or none, before there is a champion), with digests of
both and the threshold below which a pair of entities has no relation. So a rollback of either model
finds the version of that pair again and makes it the champion.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cfcre
from cfcre.config import Settings
from cfcre.config.names import extractor_model, span_model
from cfcre.data.files import write_json
from cfcre.errors import CfcreError
from cfcre.operations.promotion import promote
from cfcre.operations.tracking_store import open_tracker
from cfcre.tracking.kinds import EXTRACTOR, RELATIONS, SPANS, ModelKind

if TYPE_CHECKING:
    from cfcre.operations.ledger import Ledger
    from cfcre.tracking.client import Tracker

__all__ = ["Pair", "champions", "follow_champions"]

_FORMAT = 1
_MOST_TURNS = 5


class Pair(NamedTuple):
    """Versions of the span model and of the relation model; None where there is no champion."""

    spans: str
    relations: str | None

    @property
    def text(self) -> str:
        """For people, and for the name of the run."""
        relations = "none" if self.relations is None else self.relations
        return f"spans {self.spans}, relations {relations}"


def champions(settings: Settings, ledger: Ledger) -> Pair | None:
    """The pair of champions; None before there is a span model."""
    registered = settings.tracking.registered_model
    spans = ledger.for_model(span_model(registered)).champion()
    return None if spans is None else Pair(spans, ledger.for_model(registered).champion())


def follow_champions(settings: Settings, ledger: Ledger, *, actor: str) -> str | None:
    """Register the version of the present champions where it is missing, and make it the champion.

    It may be called at any time, by any process, and again: the last call that ends has seen the
    champions as they are.

    Args:
        settings: Settings of the home.
        ledger: The ledger.
        actor: Who moved one of the two, for the ledger.

    Returns:
        The extractor's version; None before there is a span model.

    Raises:
        TrackingUnavailable: MLflow did not answer.
        StoreUnavailable: The object store did not answer.
        StateError: The files of a champion are gone.
        CfcreError: The champions kept moving.
    """
    view = ledger.for_model(extractor_model(settings.tracking.registered_model))
    tracker = open_tracker(settings, EXTRACTOR)
    pair = champions(settings, ledger)
    for _ in range(_MOST_TURNS):
        if pair is None:
            return None
        version = _find(tracker, pair) or _register(settings, ledger, tracker, pair)
        reason = f"follows the champions: {pair.text}"
        promote(view, tracker, version, reason=reason, actor=actor)
        now = champions(settings, ledger)
        if now == pair:
            return version
        pair = now
    raise CfcreError(
        f"the champions moved {_MOST_TURNS} times while the extractor followed them; the move that "
        "comes last takes it along"
    )


def _find(tracker: Tracker, pair: Pair) -> str | None:
    """The newest version of the pair."""
    for version in reversed(tracker.versions()):
        if (version.get("spans_version"), version.get("relations_version")) == pair:
            return str(version["version"])
    return None


def _register(settings: Settings, ledger: Ledger, tracker: Tracker, pair: Pair) -> str:
    from cfcre.operations.joint.calibrating import calibrate_pair

    with tempfile.TemporaryDirectory(prefix="cfcre-extractor-") as temporary:
        folder = Path(temporary) / "state"
        folder.mkdir()
        description: dict[str, Any] = {
            "format": _FORMAT,
            "spans": _reference(settings, SPANS, pair.spans),
            "relations": (
                None if pair.relations is None else _reference(settings, RELATIONS, pair.relations)
            ),
            "code_version": cfcre.__version__,
            "files": {},
        }
        calibration = calibrate_pair(settings, ledger, pair.spans, pair.relations)
        if calibration is not None:
            write_json(folder / "calibration.json", calibration)
            digest = hashlib.sha256((folder / "calibration.json").read_bytes()).hexdigest()
            description["files"]["calibration.json"] = digest
        write_json(folder / "extractor.json", description)
        return _register_folder(settings, tracker, pair, folder, description)


def _register_folder(
    settings: Settings, tracker: Tracker, pair: Pair, folder: Path, description: dict[str, Any]
) -> str:
    identity = json.dumps(description, sort_keys=True).encode("utf-8")
    digest = hashlib.sha256(identity).hexdigest()
    run_id = tracker.open_run(
        f"extractor-{digest[:12]}",
        tags={"cfcre.spans_version": pair.spans, "cfcre.relations_version": pair.relations or ""},
        params={"extraction": settings.portable().get("extraction", {})},
    )
    version = tracker.register_state(
        run_id,
        folder,
        {
            "stream": "extractor",
            "batch_hash": digest,
            "batch_name": pair.text,
            "task": int(pair.spans),
            "code_version": cfcre.__version__,
        },
        tags={"spans_version": pair.spans, "relations_version": pair.relations},
        card=lambda limit: _card(pair, description),
    )
    tracker.close_run(run_id, "FINISHED")
    tracker.set_alias("challenger", version)
    return version


def _reference(settings: Settings, kind: ModelKind, version: str) -> dict[str, Any]:
    """A version by its name, its number and the digest of its state."""
    name = kind.registered_name(settings.tracking.registered_model)
    found: Mapping[str, Any] = next(
        v for v in open_tracker(settings, kind).versions() if v["version"] == version
    )
    return {"model": name, "version": version, "state": found.get("state")}


def _card(pair: Pair, description: Mapping[str, Any]) -> str:
    spans, relations = description["spans"], description["relations"]
    known = "none yet" if relations is None else f"`{relations['model']}` {relations['version']}"
    threshold = "calibrated" if description["files"] else "not calibrated"
    return "\n".join(
        [
            "# Extractor",
            "",
            f"Span model: `{spans['model']}` {spans['version']}. Relation model: {known}.",
            f'The threshold of "no relation" is {threshold}.',
            "",
            "The version holds references and no weights: it loads where the registry is reached.",
            "",
        ]
    )
