"""The extractor's threshold of "no relation", chosen on documents that no model was trained on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.config.names import span_model
from cfcre.errors import DataError
from cfcre.operations.joint import memory
from cfcre.operations.states import learned_tasks, state_folder, stream_of_version
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
    documents = calibration_documents(settings, ledger, spans)
    if not documents:
        log.warning("%s no document is in the validation split", _UNCALIBRATED)
        return None
    from cfcre.extraction.calibration import calibrate
    from cfcre.methods.predictor import Predictor
    from cfcre.spans.model import SpanModel

    registered = settings.tracking.registered_model
    span_ledger = ledger.for_model(span_model(registered))
    spans_folder = state_folder(settings, span_ledger, spans, SPANS)
    learner = state_folder(settings, ledger.for_model(registered), relations, RELATIONS)
    try:
        found = calibrate(
            SpanModel.load(spans_folder, settings.compute),
            Predictor.load(learner, settings),
            documents,
            settings=settings.extraction,
            symmetric=settings.augmentation.symmetric_relations,
        )
    except DataError as problem:
        log.warning("%s %s", _UNCALIBRATED, problem)
        return None
    return found.to_json()


def calibration_documents(settings: Settings, ledger: Ledger, spans: str) -> list[Document]:
    """Documents of the validation split of the stream that a version was learned from.

    Raises:
        StoreUnavailable: The object store did not answer.
        DataError: The documents of a batch are damaged.
    """
    from cfcre.intake.store import open_store

    span_ledger = ledger.for_model(span_model(settings.tracking.registered_model))
    stream = stream_of_version(span_ledger, spans)
    if stream is None:
        return []
    store = open_store(settings)
    batches = [
        memory.read_documents(store, stream, task["batch"], settings)
        for task in learned_tasks(ledger, stream)
    ]
    return memory.in_split(memory.joined(batches, settings), "validation")
