"""Training a span model on all documents so far, from the pretrained encoder.

Not from the previous model: the documents are all there, so nothing has to be remembered by the
weights. The same documents, settings and seed give the same model whatever was learned before, a
corrected label leaves no trace of the wrong one, and a new type needs no surgery on a classifier.
What that costs is time that grows with the documents.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.operations.joint.memory import in_split, types_of
from cfcre.spans.documents import LabelTypes
from cfcre.spans.reading import Reading
from cfcre.spans.storing import StoredDocument

if TYPE_CHECKING:
    from cfcre.spans.preparing import Prepared
    from cfcre.spans.training import Progress
    from cfcre.spans.word_pieces import WordPieceTokenizer

__all__ = ["train_spans"]


def train_spans(
    documents: Sequence[StoredDocument],
    out: Path,
    settings: Settings,
    *,
    lineage: Mapping[str, Any],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and write a span model.

    Args:
        documents: All documents so far; those of the training split are learned.
        out: Directory to write.
        settings: ``spans``, ``joint``, ``compute`` and ``seed`` are used.
        lineage: Where the documents came from.
        progress: Told after each update.

    Returns:
        Facts: ``seconds``, ``updates``, ``documents``, ``too_long`` (documents that an encoder
        chosen since can not read), ``wide_entities``, ``wide_relations``, ``types`` and ``losses``.

    Raises:
        ConfigurationError: The encoder can not be found or loaded.
        DataError: No document is left to train on.
        CfcreError: A loss is not finite.
    """
    from cfcre.data.encoder_files import resolve_encoder
    from cfcre.spans.running import Corpus, train_model
    from cfcre.spans.word_pieces import load_word_pieces

    began = time.perf_counter()
    train = in_split(documents, "train")
    types = types_of(train, settings)
    reading = Reading(documents=list(train), sources=["documents"] * len(train))
    tokenizer = load_word_pieces(resolve_encoder(settings.spans.encoder))
    prepared = _prepare(reading, types, tokenizer, settings)
    about = {"train": reading.counts, "batches": list(dict.fromkeys(d.batch for d in documents))}
    corpus = Corpus(types, prepared, None, reading, None, about)
    state, facts = train_model(corpus, settings, progress=progress, every_epoch=False)
    # What was refused here was refused to this encoder; the documents are in the store.
    state.refused = ()
    state.lineage = {**state.lineage, **lineage}
    state.save(out)
    return {
        "seconds": time.perf_counter() - began,
        "updates": facts.updates,
        "documents": facts.documents,
        "too_long": len(reading.refused),
        "wide_entities": facts.wide_entities,
        "wide_relations": facts.wide_relations,
        "types": types.to_json(),
        "losses": [
            {
                "phase": "epochs",
                "step": epoch.number,
                "entity_loss": epoch.entity_loss,
                "relation_loss": epoch.relation_loss,
            }
            for epoch in facts.epochs
        ],
    }


def _prepare(
    reading: Reading, types: LabelTypes, tokenizer: WordPieceTokenizer, settings: Settings
) -> Prepared:
    from cfcre.spans.preparing import prepare

    return prepare(
        reading,
        types,
        tokenizer,
        max_length=settings.spans.max_length,
        max_width=settings.spans.max_span_width,
        on_error="quarantine",
    )
