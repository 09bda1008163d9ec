"""Documents from files: SpERT's JSON, or JSON Lines of documents in words or in text.

A document has either ``tokens`` with entities that count tokens, or ``text`` with entities that
count characters; ends are exclusive. Every document that is read is accepted or refused with a
reason, so ``accepted + refused = read``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cfcre.config import IntakeSettings
from cfcre.data.json_values import parse_json
from cfcre.errors import DataError
from cfcre.spans.checks import Refusal, build_document
from cfcre.spans.documents import Document, LabelTypes

__all__ = ["OnError", "Reading", "RefusedDocument", "read_documents"]

OnError = Literal["fail", "quarantine"]


class RefusedDocument(NamedTuple):
    """A document that is not used.

    Attributes:
        source: File and place in it.
        id: Its ``orig_id`` or ``id``, as text.
        reason: Code of :data:`cfcre.spans.checks.DOCUMENT_REASONS`.
        detail: What was found and what is accepted.
        raw: The document as given.
    """

    source: str
    id: str
    reason: str
    detail: str
    raw: Any


@dataclass
class Reading:
    """What one file held.

    Attributes:
        documents: Accepted, in the order of the file.
        sources: File and place of each accepted document.
        refused: The others.
        merged_relations: Relations that repeated another one of their document exactly.
    """

    documents: list[Document] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    refused: list[RefusedDocument] = field(default_factory=list)
    merged_relations: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """``read``, ``accepted`` and ``refused`` documents, and ``merged_relations``."""
        return {
            "read": len(self.documents) + len(self.refused),
            "accepted": len(self.documents),
            "refused": len(self.refused),
            "merged_relations": self.merged_relations,
        }

    def refuse(self, source: str, id: str, refusal: Refusal, raw: Any) -> None:
        """Set a document aside."""
        self.refused.append(RefusedDocument(source, id, refusal.reason, refusal.detail, raw))

    def keep(self, kept: Sequence[bool], why: Mapping[int, Refusal]) -> None:
        """Refuse accepted documents afterwards, by their positions."""
        for position, refusal in why.items():
            document = self.documents[position]
            self.refuse(self.sources[position], document.id, refusal, list(document.words))
        self.documents = [d for d, keep in zip(self.documents, kept, strict=True) if keep]
        self.sources = [s for s, keep in zip(self.sources, kept, strict=True) if keep]

    def require(self, on_error: OnError) -> None:
        """Raise for refused documents if they are to fail, and if nothing is left in any case.

        Raises:
            DataError: Names the first document and counts the others by reason.
        """
        if not self.refused:
            return
        if on_error == "quarantine" and self.documents:
            return
        first = self.refused[0]
        named = f" (id {first.id})" if first.id else ""
        reasons = Counter(r.reason for r in self.refused)
        total = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        raise DataError(
            f"{first.source}{named}: {first.reason}: {first.detail}; {len(self.refused)} of "
            f"{self.counts['read']} documents are refused ({total}); repair them"
            + ("" if on_error == "quarantine" else ", or leave them out with --on-error quarantine")
        )


def read_documents(
    path: Path,
    types: LabelTypes | None,
    limits: IntakeSettings | None = None,
    *,
    on_error: OnError = "fail",
) -> Reading:
    """Read and check the documents of one file.

    Args:
        path: A JSON list of documents (SpERT), or one JSON object a line.
        types: Types that may occur; None accepts any.
        limits: Most bytes, documents and characters.
        on_error: ``fail`` raises at the first refused document, ``quarantine`` sets them aside.

    Raises:
        DataError: The file is unreadable or too large, holds no document, or a document is refused
            and ``on_error`` is ``fail``, or every document is refused.
    """
    limits = limits or IntakeSettings()
    reading = Reading()
    for place, raw, problem in _raw_documents(path, limits):
        if problem is not None:
            reading.refuse(f"{path.name}{place}", "", problem, raw)
            continue
        made = build_document(raw, types, limits.max_text_chars)
        if isinstance(made, Refusal):
            reading.refuse(f"{path.name}{place}", _name(raw), made, raw)
            continue
        document, merged = made
        reading.documents.append(document)
        reading.sources.append(f"{path.name}{place}")
        reading.merged_relations += merged
    if not reading.documents and not reading.refused:
        raise DataError(f"{path.name} holds no document")
    reading.require(on_error)
    return reading


def _raw_documents(path: Path, limits: IntakeSettings) -> list[tuple[str, Any, Refusal | None]]:
    """Place, document as given, and why it can not be read."""
    text = _read_text(path, limits.max_object_bytes)
    if text.lstrip()[:1] == "[":
        try:
            listed = parse_json(text)
        except ValueError as error:
            raise DataError(f"{path.name} is not JSON: {error}") from error
        found: list[tuple[str, Any, Refusal | None]] = [
            (f"[{number}]", raw, None) for number, raw in enumerate(listed)
        ]
    else:
        found = []
        # Not splitlines(): it also breaks at U+2028 and other separators that a text may hold.
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                found.append((f":{number}", parse_json(line), None))
            except ValueError as error:
                refusal = Refusal("invalid_json", f"the line is not JSON: {error}")
                found.append((f":{number}", line, refusal))
    if len(found) > limits.max_rows:
        raise DataError(
            f"{path.name} holds {len(found)} documents; intake.max_rows is {limits.max_rows}: "
            "use parts of it"
        )
    return found


def _read_text(path: Path, max_bytes: int) -> str:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path.name} has {size} bytes; intake.max_object_bytes is {max_bytes}")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}: byte {error.start} is not UTF-8; convert the file to UTF-8"
        ) from error


def _name(raw: Any) -> str:
    if not isinstance(raw, dict):
        return ""
    value = raw.get("orig_id", raw.get("id"))
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)[:80]
