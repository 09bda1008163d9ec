"""From documents to arrays, once: word pieces and labels that every epoch and every run share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcre.spans.checks import Refusal
from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.gold import GoldLabels, gold_labels
from cfcre.spans.reading import OnError, Reading
from cfcre.spans.word_pieces import EncodedDocuments, WordPieceTokenizer

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """Documents ready to train on or to score against.

    Attributes:
        documents: In order.
        encoded: Their word pieces.
        gold: Their labels, all of them.
        trainable: Their labels without entities wider than the widest span.
    """

    documents: list[Document]
    encoded: EncodedDocuments
    gold: GoldLabels
    trainable: GoldLabels


def prepare(
    reading: Reading,
    types: LabelTypes,
    tokenizer: WordPieceTokenizer,
    *,
    max_length: int,
    max_width: int,
    on_error: OnError = "fail",
) -> Prepared:
    """Encode what was read; a document that is too long is refused, never cut.

    Args:
        reading: Documents with known types; those too long are moved to its refused ones.
        types: Gives the numbers of the labels.
        tokenizer: Of the encoder.
        max_length: Word pieces that the encoder reads, start and end included.
        max_width: Words of the widest span.
        on_error: As in :func:`cfcre.spans.reading.read_documents`.

    Raises:
        DataError: A document is too long and ``on_error`` is ``fail``, or none is left.
    """
    encoded = tokenizer.encode([document.words for document in reading.documents])
    fits = encoded.lengths <= max_length
    if not fits.all():
        why = {
            int(i): Refusal(
                "too_long_for_encoder",
                f"{encoded.lengths[i]} word pieces; the model reads {max_length} "
                "(spans.max_length): divide the document",
            )
            for i in np.flatnonzero(~fits)
        }
        reading.keep([bool(f) for f in fits], why)
        reading.require(on_error)
        encoded = encoded.take(np.flatnonzero(fits))
    return Prepared(
        reading.documents,
        encoded,
        gold_labels(reading.documents, types),
        gold_labels(reading.documents, types, max_width),
    )
