"""Extractors from folders and from registered versions.

Registered are three models: NAME (relations), NAME-spans, and NAME-extractor, whose versions refer
to one of each by the tags ``cfcre.spans_version`` and ``cfcre.relations_version`` and hold the
calibration of the two.
"""

from __future__ import annotations

from pathlib import Path

from cfcre.config import ComputeSettings, ExtractionSettings, Settings, load_settings
from cfcre.errors import NotFoundError, StateError
from cfcre.extraction.calibration import CALIBRATION_FILE, Calibration
from cfcre.extraction.extractor import Extractor
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.spans.model import SpanModel

__all__ = ["load_folders", "load_registered", "symmetric_relations"]

SPANS_SUFFIX = "-spans"
EXTRACTOR_SUFFIX = "-extractor"

_SPANS_FILE, _RELATIONS_FILE, _EXTRACTOR_FILE = "model.json", "state.json", "extractor.json"


def load_folders(
    spans: Path,
    relations: Path | None = None,
    calibration: Path | None = None,
    settings: ExtractionSettings | None = None,
    compute: ComputeSettings | None = None,
    versions: dict[str, str] | None = None,
) -> Extractor:
    """See :meth:`cfcre.extraction.extractor.Extractor.load`."""
    state = LearnerState.load(relations) if relations is not None else None
    return Extractor(
        SpanModel.load(spans, compute),
        Predictor(state, compute) if state is not None else None,
        calibration=Calibration.read(calibration) if calibration is not None else None,
        settings=settings,
        symmetric=symmetric_relations(state) if state is not None else (),
        versions=versions,
    )


def load_registered(
    name: str | None = None, settings: Settings | None = None, *, pinned: bool = False
) -> Extractor:
    """See :meth:`cfcre.extraction.extractor.Extractor.from_registry`."""
    from cfcre.tracking.parts import champion_of, connect, folder_of, tags_of

    settings = settings or load_settings()
    name = name or settings.tracking.registered_model
    extractors = connect(settings, name + EXTRACTOR_SUFFIX)
    span_models, learners = connect(settings, name + SPANS_SUFFIX), connect(settings, name)
    versions: dict[str, str] = {}
    calibration: Path | None = None
    extractor = champion_of(extractors)
    if extractor is not None:
        tags = tags_of(extractors, extractor)
        versions = {
            "extractor": extractor,
            **{
                part: tags[f"{part}_version"]
                for part in ("spans", "relations")
                if tags.get(f"{part}_version")
            },
        }
        if "spans" not in versions:
            raise StateError(
                f"version {extractor} of {extractors.model_name} carries no tag "
                "cfcre.spans_version: it was not registered by cfcre; promote another version"
            )
        file = folder_of(extractors, extractor, _EXTRACTOR_FILE) / CALIBRATION_FILE
        calibration = file if file.is_file() else None
    else:
        champion = champion_of(span_models)
        if champion is None:
            raise NotFoundError(
                f"there is no champion of {span_models.model_name} yet, which finds the entities; "
                "drop documents with entities and relations, or name models with --spans"
            )
        versions["spans"] = champion
    if not (pinned and extractor is not None):
        champion = champion_of(learners)
        if champion is not None:
            versions["relations"] = champion
    relations = versions.get("relations")
    return load_folders(
        folder_of(span_models, versions["spans"], _SPANS_FILE),
        folder_of(learners, relations, _RELATIONS_FILE) if relations is not None else None,
        calibration,
        settings.extraction,
        settings.compute,
        versions,
    )


def symmetric_relations(state: LearnerState) -> tuple[str, ...]:
    """Relations that a learner state was trained to hold both ways."""
    return tuple(state.settings.get("augmentation", {}).get("symmetric_relations", ()))
