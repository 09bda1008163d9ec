"""The extractor's threshold of "no relation", chosen on documents that no model was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.config.names import span_model
from cfcre.errors import DataError
from cfcre.operations.joint import memory
from cfcre.operations.states import state_folder
from cfcre.tracking.kinds import RELATIONS, SPANS

if TYPE_CHECKING:
    from cfcre.operations.ledger import Ledger
    from cfcre.spans.documents import Document

__all__ = ["calibrate_pair", "calibration_documents"]

log = logging.getLogger(__name__)

_UNCALIBRATED = (
    "the extractor's threshold of 'no relation' can not be chosen, "
    "extraction.uncalibrated_threshold holds:"
)


def calibrate_pair(
    settings: Settings, ledger: Ledger, spans: str, relations: str | None
) -> dict[str, Any] | None:
    """Choose the threshold for a pair of versions.

    Args:
        settings: Settings of the home.
        ledger: The ledger.
        spans: Version of the span model.
        relations: Version of the relation model.

    Returns:
        The document ``calibration.json``; None without a relation model, and where the documents
        of the validation split have no pair of entities.

    Raises:
        StateError: The files of a version are gone.
        StoreUnavailable: The object store did not answer.
        TrackingUnavailable: MLflow did not answer.
    """
    if relations is None:
        return None
    from cfcre.extraction.calibration import calibrate
    from cfcre.methods.predictor import Predictor
    from cfcre.spans.model import SpanModel

    registered = settings.tracking.registered_model
    span_ledger = ledger.for_model(span_model(registered))
    model = SpanModel.load(state_folder(settings, span_ledger, spans, SPANS), settings.compute)
    documents = calibration_documents(settings, model.state.lineage)
    if not documents:
        log.warning("%s no document is in the validation split", _UNCALIBRATED)
        return None
    learner = state_folder(settings, ledger.for_model(registered), relations, RELATIONS)
    try:
        found = calibrate(
            model,
            Predictor.load(learner, settings),
            documents,
            settings=settings.extraction,
            symmetric=settings.augmentation.symmetric_relations,
        )
    except DataError as problem:
        log.warning("%s %s", _UNCALIBRATED, problem)
        return None
    return found.to_json()


def calibration_documents(settings: Settings, lineage: Mapping[str, Any]) -> list[Document]:
    """Documents of the validation split, of all batches that a span model was made with.

    Args:
        settings: Settings of the home.
        lineage: The span model's; its task may not be settled yet.

    Raises:
        NotFoundError: The documents of a batch are gone.
        StoreUnavailable: The object store did not answer.
        DataError: The documents of a batch are damaged.
    """
    from cfcre.intake.store import open_store

    store = open_store(settings)
    batches = [
        memory.read_documents(store, str(lineage["stream"]), batch, settings)
        for batch in lineage["batches"]
    ]
    return memory.in_split(memory.joined(batches, settings), "validation")
