"""Documents as JSON Lines: what a model was trained on, kept in the form that readers take.

A document that was given as text stays text, with spans in characters, so that it is read again
with the very words and offsets it had; one that was given as words stays words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cfcre.data.json_values import parse_json
from cfcre.data.schema import SPLITS, Split
from cfcre.errors import DataError
from cfcre.spans.checks import Refusal, build_document
from cfcre.spans.documents import Document

__all__ = [
    "StoredDocument",
    "document_from_json",
    "document_to_json",
    "documents_from_lines",
    "documents_to_lines",
    "words_key",
]


@dataclass(frozen=True)
class StoredDocument:
    """A document with its split and the batch that brought it."""

    document: Document
    split: Split
    batch: str = ""


def words_key(document: Document) -> str:
    """SHA-256 of the words: what makes two documents the same text, whatever their labels."""
    text = json.dumps(document.words, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def document_to_json(document: Document) -> dict[str, Any]:
    """A JSON-able mapping in SpERT's form, see :func:`document_from_json`."""
    in_text = document.given_text is not None
    data: dict[str, Any] = (
        {"text": document.given_text} if in_text else {"tokens": list(document.words)}
    )
    data["entities"] = []
    for entity in document.entities:
        start, end = (
            document.characters(entity.start, entity.end) if in_text else (entity.start, entity.end)
        )
        data["entities"].append({"start": start, "end": end, "type": entity.type})
    data["relations"] = [r._asdict() for r in document.relations]
    if document.id:
        data["orig_id"] = document.id
    return data


def document_from_json(data: Any, source: str) -> Document:
    """Read what :func:`document_to_json` gave.

    Raises:
        DataError: It is no such document.
    """
    # It was checked, and found short enough, when it was accepted.
    made = build_document(data, None, max_chars=2**63)
    if isinstance(made, Refusal):
        raise DataError(f"{source} is damaged: {made.reason}: {made.detail}")
    return made[0]


def documents_to_lines(documents: Iterable[StoredDocument]) -> bytes:
    """JSON Lines, one document each."""
    lines = [
        json.dumps(
            {
                "split": stored.split,
                "batch": stored.batch,
                "document": document_to_json(stored.document),
            },
            ensure_ascii=False,
        )
        for stored in documents
    ]
    return "".join(line + "\n" for line in lines).encode("utf-8")


def documents_from_lines(data: bytes, source: str) -> list[StoredDocument]:
    """Read what :func:`documents_to_lines` wrote.

    Raises:
        DataError: The lines are damaged.
    """
    found = []
    try:
        # Not splitlines(): it also breaks at separators that a text may hold.
        for number, line in enumerate(data.decode("utf-8").split("\n"), start=1):
            if not line:
                continue
            entry = parse_json(line)
            split = next(known for known in SPLITS if known == entry["split"])
            document = document_from_json(entry["document"], f"{source}:{number}")
            found.append(StoredDocument(document, split, str(entry["batch"])))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise DataError(
            f"{source} is damaged ({error!r}); restore it from a backup of the object store"
        ) from error
    return found
