"""Names that follow from other names: a stream's documents, a model's companions.

Documents with entities and relations feed two models. Their gold relations are rows of the stream
that they were dropped for; the documents themselves are the batches of a second stream, which
trains the span model. Registered models are named after ``tracking.registered_model``.
"""

from __future__ import annotations

import hashlib

__all__ = [
    "DOCUMENTS_SUFFIX",
    "documents_stream",
    "extractor_model",
    "is_documents_stream",
    "model_of_stream",
    "span_model",
]

DOCUMENTS_SUFFIX = ".documents"
"""End of the name of every stream of documents, and of no other stream."""
_SPANS_SUFFIX = "-spans"
_EXTRACTOR_SUFFIX = "-extractor"
_LONGEST_STREAM = 128


def is_documents_stream(stream: str) -> bool:
    """Whether a stream's batches are documents, for the span model."""
    return stream.endswith(DOCUMENTS_SUFFIX)


def documents_stream(stream: str) -> str:
    """Name of the stream of documents beside a stream; a stream of documents is its own."""
    if is_documents_stream(stream):
        return stream
    room = _LONGEST_STREAM - len(DOCUMENTS_SUFFIX)
    if len(stream) > room:
        digest = hashlib.sha256(stream.encode("utf-8")).hexdigest()[:8]
        stream = f"{stream[: room - 9]}-{digest}"
    return stream + DOCUMENTS_SUFFIX


def span_model(registered_model: str) -> str:
    """Registered name of the span model beside a relation model."""
    return registered_model + _SPANS_SUFFIX


def extractor_model(registered_model: str) -> str:
    """Registered name of the extractor that joins the two."""
    return registered_model + _EXTRACTOR_SUFFIX


def model_of_stream(registered_model: str, stream: str) -> str:
    """Registered name of the model that a stream's tasks make versions of."""
    return span_model(registered_model) if is_documents_stream(stream) else registered_model
