"""Texts as windows of word pieces, all of them in one packed batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cfcre.config import ExtractionSettings
from cfcre.errors import ConfigurationError, DataError
from cfcre.extraction.windows import Plan, plan_windows
from cfcre.spans.documents import Document
from cfcre.spans.model import SpanModel
from cfcre.spans.word_pieces import EncodedDocuments

__all__ = ["Reading", "read_texts"]

Index = npt.NDArray[np.int64]

#: Start and end piece, which every window has.
_ENDS = 2


@dataclass(frozen=True)
class Reading:
    """Texts, divided.

    Attributes:
        documents: The texts in words.
        plans: Windows of each.
        encoded: All windows of all texts, text after text.
        text: int64 ``[windows]``, number of each window's text.
        start: int64 ``[windows]``, its first word.
    """

    documents: list[Document]
    plans: list[Plan]
    encoded: EncodedDocuments
    text: Index
    start: Index


def read_texts(
    texts: Sequence[str | Document], model: SpanModel, settings: ExtractionSettings
) -> Reading:
    """Divide texts into words, and where they are long into windows.

    Raises:
        DataError: A text is longer than ``extraction.max_text_chars``.
        ConfigurationError: Something else than a text or a document was given.
    """
    documents = [_document(number, text, settings) for number, text in enumerate(texts)]
    limit = model.state.settings.max_length
    room = min(settings.window, limit) - _ENDS
    tokenizer = model.state.tokenizer
    encoded = tokenizer.encode([document.words for document in documents])
    plans = [
        plan_windows(
            _piece_counts(encoded, number),
            window=room,
            stride=settings.stride,
            widest=model.state.settings.max_span_width,
        )
        for number in range(len(documents))
    ]
    counts = [len(plan.windows) for plan in plans]
    whole = all(
        plan.windows == ((0, len(document.words)),)
        for plan, document in zip(plans, documents, strict=True)
    )
    if not whole:
        encoded = tokenizer.encode(
            [
                document.words[start:end]
                for document, plan in zip(documents, plans, strict=True)
                for start, end in plan.windows
            ]
        )
    return Reading(
        documents,
        plans,
        encoded,
        np.repeat(np.arange(len(documents), dtype=np.int64), counts),
        np.array([start for plan in plans for start, _ in plan.windows], dtype=np.int64),
    )


def _document(number: int, text: str | Document, settings: ExtractionSettings) -> Document:
    # A document's given text is looked at first: its words are not joined only to be counted.
    length = len(text) if isinstance(text, str) else len(getattr(text, "text", ""))
    if length > settings.max_text_chars:
        raise DataError(
            f"text {number} has {length} characters; extraction.max_text_chars is "
            f"{settings.max_text_chars}: divide it, or raise the setting"
        )
    if isinstance(text, Document):
        return text
    if isinstance(text, str):
        return Document.from_text(text)
    raise ConfigurationError(
        f"text {number} is {type(text).__name__}; give texts, or documents of cfcre.spans.documents"
    )


def _piece_counts(encoded: EncodedDocuments, number: int) -> Index:
    first, last = encoded.word_offsets[number], encoded.word_offsets[number + 1]
    # A word begins where the one before ends; the first one after the start piece.
    return np.diff(encoded.word_ends[first:last], prepend=1)
