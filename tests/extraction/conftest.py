"""One tiny span model and one tiny learner for all tests of extraction, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from extraction_cases import (
    ADDED,
    OWN,
    documents,
    relation_settings,
    span_settings,
    train_span_model,
)


@pytest.fixture(scope="session")
def extraction_documents(relation_rows):
    """Function ``(count, seed) -> list[Document]`` of the span model's relations."""
    return lambda count, seed: documents(relation_rows(list(OWN), count, seed), seed)


@pytest.fixture(scope="session")
def span_folder(tiny_encoder: Path, extraction_documents, tmp_path_factory) -> Path:
    """A span model that knows the relations :data:`OWN`."""
    folder = tmp_path_factory.mktemp("span-model")
    settings = span_settings(tiny_encoder, folder)
    return train_span_model(extraction_documents(40, 1), settings, folder / "model")


@pytest.fixture(scope="session")
def learner_folder(tiny_encoder: Path, relation_rows, tmp_path_factory) -> Path:
    """A learner state that knows :data:`OWN`, and :data:`ADDED` from a second batch."""
    from cfcre.methods.state import LearnerState
    from cfcre.methods.task import learn_task

    folder = tmp_path_factory.mktemp("learner")
    settings = relation_settings(tiny_encoder, folder)
    state = LearnerState.fresh(settings)
    for number, relations in enumerate((OWN, ADDED), start=1):
        rows = relation_rows(list(relations), 24, seed=number)
        learn_task(state, rows, settings, {"batch": f"b{number}", "batch_name": f"b{number}"})
    state.save(folder / "state")
    return folder / "state"


@pytest.fixture(scope="session")
def span_model(span_folder: Path):
    """The span model."""
    from cfcre.config import ComputeSettings
    from cfcre.spans.model import SpanModel

    return SpanModel.load(span_folder, ComputeSettings(threads=1))


@pytest.fixture(scope="session")
def predictor(learner_folder: Path):
    """The learner's predictor."""
    from cfcre.config import ComputeSettings
    from cfcre.methods.predictor import Predictor
    from cfcre.methods.state import LearnerState

    return Predictor(LearnerState.load(learner_folder), ComputeSettings(threads=1))


@pytest.fixture(scope="session")
def extractor(span_model, predictor):
    """Both together, without a calibration."""
    from cfcre.extraction.extractor import Extractor

    return Extractor(span_model, predictor)
