"""One training from files or from prepared documents to a scored model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfcre.config import Settings
from cfcre.errors import DataError
from cfcre.modeling.compute import Compute
from cfcre.spans.documents import LabelTypes
from cfcre.spans.gold import GoldLabels
from cfcre.spans.model import SpanModel
from cfcre.spans.network import SpanNetwork
from cfcre.spans.preparing import Prepared, prepare
from cfcre.spans.reading import OnError, Reading, read_documents
from cfcre.spans.scoring import Scores, score_labels
from cfcre.spans.state import SpanState
from cfcre.spans.training import Epoch, Progress, TrainingFacts, train_network
from cfcre.spans.triples import count_triples

__all__ = ["Corpus", "file_digest", "headline", "load_corpus", "train_model"]


@dataclass(frozen=True)
class Corpus:
    """Training and development documents of one run.

    Attributes:
        types: Of both.
        train: To learn from.
        dev: To score on; None trains without.
        refused: Documents of ``train`` and ``dev`` that were set aside.
        about: File names, digests and counts, for the model's lineage.
    """

    types: LabelTypes
    train: Prepared
    dev: Prepared | None
    train_reading: Reading
    dev_reading: Reading | None
    about: dict[str, Any]


def load_corpus(
    train: Path,
    dev: Path | None,
    types: Path | None,
    settings: Settings,
    state: SpanState | None = None,
    *,
    on_error: OnError = "fail",
) -> Corpus:
    """Read, check and encode the documents of a run, once.

    Args:
        train: Training documents.
        dev: Development documents.
        types: SpERT's types file; None takes the types that occur in ``train``.
        settings: ``spans`` and ``intake`` are used.
        state: Gives the tokenizer; None loads the one of ``spans.encoder``.
        on_error: What happens to documents that break a rule.

    Raises:
        DataError: A file is unreadable, or a document is refused and ``on_error`` is ``fail``.
        ConfigurationError: The encoder has no usable tokenizer.
    """
    from cfcre.data.encoder_files import resolve_encoder
    from cfcre.spans.word_pieces import load_word_pieces

    known = LabelTypes.read(types) if types is not None else None
    reading = read_documents(train, known, settings.intake, on_error=on_error)
    known = known or LabelTypes.of(reading.documents)
    readings = [reading]
    if dev is not None:
        readings.append(read_documents(dev, known, settings.intake, on_error=on_error))
    tokenizer = (
        state.tokenizer
        if state is not None
        else load_word_pieces(resolve_encoder(settings.spans.encoder))
    )
    prepared = [
        prepare(
            part,
            known,
            tokenizer,
            max_length=settings.spans.max_length,
            max_width=settings.spans.max_span_width,
            on_error=on_error,
        )
        for part in readings
    ]
    about = {
        name: {"file": path.name, "sha256": file_digest(path), **part.counts}
        for name, path, part in zip(("train", "dev"), (train, dev), readings, strict=False)
        if path is not None
    }
    return Corpus(
        known,
        prepared[0],
        prepared[1] if dev is not None else None,
        reading,
        readings[1] if dev is not None else None,
        about,
    )


def train_model(
    corpus: Corpus,
    settings: Settings,
    *,
    labels: GoldLabels | None = None,
    progress: Progress | None = None,
    report: Callable[[Epoch], None] | None = None,
    every_epoch: bool = True,
) -> tuple[SpanState, TrainingFacts]:
    """Train a fresh model, and score it on the development documents.

    Args:
        corpus: Documents and types.
        settings: ``spans``, ``compute`` and ``seed`` are used.
        labels: Labels to train on instead of the documents' own, for example noisy ones.
        progress: Told after each update.
        report: Told about each epoch.
        every_epoch: Score after each epoch; otherwise after the last one only.

    Returns:
        The model, with its lineage, and what training did. The last epoch's scores are those of
        the model that is returned: no epoch is picked by its scores.

    Raises:
        ConfigurationError: The encoder cannot be found or loaded.
        DataError: There is nothing to train on.
        CfcreError: A loss is not finite.
    """
    Compute.from_settings(settings.compute)
    state = SpanState.fresh(corpus.types, settings)
    seen = 0

    def score(network: SpanNetwork) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        if corpus.dev is None or not (every_epoch or seen == settings.spans.epochs):
            return {}
        model = SpanModel(state, settings.compute)
        return {name: s.to_json() for name, s in _score(model, corpus.dev).items()}

    facts = train_network(
        state.network,
        corpus.train.encoded,
        corpus.train.trainable if labels is None else labels,
        corpus.types,
        settings,
        progress=progress,
        after_epoch=score,
        report=report,
    )
    state.lineage = {
        "seed": settings.seed,
        "data": corpus.about,
        "training": facts.to_json(),
        "triples": count_triples(corpus.train.documents, corpus.types.symmetric).to_json(),
    }
    state.refused = [
        *corpus.train_reading.refused,
        *(corpus.dev_reading.refused if corpus.dev_reading else ()),
    ]
    return state, facts


def headline(scores: Mapping[str, Any], average: str = "micro") -> dict[str, float]:
    """The three F1 figures of a scoring: ``entities``, ``relations``, ``relations_strict``.

    Args:
        scores: As JSON.
        average: ``micro`` or ``macro``.

    Raises:
        DataError: There are no scores: the run had no development documents.
    """
    if not scores:
        raise DataError("the run has no scores: give development documents")
    return {name: float(scores[name][average]["f1"]) for name in scores}


def _score(model: SpanModel, dev: Prepared) -> dict[str, Scores]:
    return score_labels(dev.gold, model.predict_encoded(dev.encoded), model.types)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
