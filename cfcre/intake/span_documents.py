"""A batch of documents for the span model: every document is accepted or refused with a reason.

Documents are SpERT's JSON (a list) or JSON Lines of the same objects. The checks of one document
are those of :mod:`cfcre.spans.checks`; here they are compared with each other, and get their split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cfcre.config import Settings
from cfcre.data.json_values import parse_json, shown
from cfcre.data.schema import SPLITS, Split
from cfcre.data.splits import split_of
from cfcre.errors import BatchRejected
from cfcre.intake.compression import decompress
from cfcre.intake.facts import label_problem
from cfcre.intake.formats.base import decode_document
from cfcre.intake.inbox import BatchReference
from cfcre.intake.ingest import batch_manifest, verified_bytes
from cfcre.intake.quarantine import QuarantinedRow
from cfcre.intake.store import ObjectStore
from cfcre.spans.checks import Refusal, build_document, ordered_document
from cfcre.spans.documents import Document
from cfcre.spans.storing import StoredDocument, words_key

__all__ = [
    "DocumentBatch",
    "WordPieces",
    "count_documents",
    "read_document_batch",
    "require_documents",
]

WordPieces = Callable[[Sequence[Document]], Sequence[int]]
"""Counts the word pieces of documents."""
_FORMATS = (None, "spert", "jsonl")


@dataclass
class DocumentBatch:
    """What a batch of documents held.

    Attributes:
        accepted: In the order of the files, with their splits.
        quarantined: The others, with the document as given.
        files: Path and number of documents of each file.
    """

    accepted: list[StoredDocument] = field(default_factory=list)
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """``read``, ``accepted`` and ``quarantined``."""
        accepted, quarantined = len(self.accepted), len(self.quarantined)
        return {
            "read": accepted + quarantined,
            "accepted": accepted,
            "quarantined": quarantined,
        }

    @property
    def by_reason(self) -> dict[str, int]:
        """Reason to quarantined documents, the most frequent first."""
        return dict(Counter(row.reason for row in self.quarantined).most_common())


@dataclass(frozen=True)
class _Raw:
    """A document as it stands in its file, or why it can not be read."""

    source: str
    value: Any
    declared: Split | None
    problem: Refusal | None = None


@dataclass(frozen=True)
class _Candidate:
    """A document that is good by itself."""

    index: int
    source: str
    raw: Any
    document: Document
    split: Split


def read_document_batch(
    store: ObjectStore, batch: BatchReference, *, settings: Settings, word_pieces: WordPieces
) -> DocumentBatch:
    """Read and check a batch of the inbox.

    Args:
        store: The object store.
        batch: A pending batch or a ledger claim.
        settings: ``intake``, ``joint`` and ``spans.max_length`` are used.
        word_pieces: Of the span model's encoder.

    Raises:
        BatchRejected: The batch as a whole can not be read.
        NotFoundError: The batch is not in the inbox any more.
        StoreUnavailable: The store did not answer.
    """
    manifest, folder = batch_manifest(store, batch)
    if manifest.relations is not None or manifest.max_per_relation is not None:
        raise BatchRejected(
            "manifest_invalid",
            "a stream of documents takes them whole; leave relations and max_per_relation out",
        )
    result = DocumentBatch()
    raws: list[_Raw] = []
    for file in manifest.files:
        if file.format not in _FORMATS:
            raise BatchRejected(
                "unknown_format",
                f"{file.path}: a stream of documents takes the format spert, not {file.format!r}",
            )
        data = verified_bytes(store, folder, file, settings)
        found = list(_documents(data, file.path, file.split, settings))
        if file.rows is not None and file.rows != len(found):
            raise BatchRejected(
                "row_count_mismatch",
                f"{file.path} has {len(found)} documents, its manifest says {file.rows}",
            )
        raws += found
        result.files.append({"path": file.path, "format": "spert", "documents": len(found)})
        if len(raws) > settings.intake.max_rows:
            raise BatchRejected(
                "too_many_rows",
                f"the batch holds more than {settings.intake.max_rows} documents "
                "(intake.max_rows); submit it in parts",
            )
    if not raws:
        raise BatchRejected("empty_batch", "it has no documents; submit a file with documents")
    _check(raws, result, settings, word_pieces)
    if sum(result.counts[name] for name in ("accepted", "quarantined")) != len(raws):
        raise RuntimeError(f"documents were lost: {result.counts} of {len(raws)}")
    return result


def count_documents(data: bytes, name: str, settings: Settings) -> int:
    """Documents in a file, good and bad.

    Raises:
        BatchRejected: The file can not be unpacked or read.
    """
    return sum(1 for _ in _documents(data, name, None, settings))


def _documents(
    data: bytes, name: str, declared: Split | None, settings: Settings
) -> Iterator[_Raw]:
    limits = settings.intake
    content = decompress(
        data,
        name,
        max_bytes=limits.max_decompressed_bytes,
        max_ratio=limits.max_decompression_ratio,
    )
    text = decode_document(content, name)
    if text.lstrip()[:1] == "[":
        try:
            listed = parse_json(text)
        except ValueError as error:
            raise BatchRejected("unreadable_file", f"{name} is not JSON: {error}") from error
        for number, value in enumerate(listed):
            yield _Raw(f"{name}[{number}]", value, declared)
        return
    # Not splitlines(): it also breaks at separators that a text may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        source = f"{name}:{number}"
        try:
            yield _Raw(source, parse_json(line), declared)
        except ValueError as error:
            problem = Refusal("invalid_json", f"the line is not JSON: {error}")
            yield _Raw(source, line, declared, problem)


def _check(
    raws: Sequence[_Raw], result: DocumentBatch, settings: Settings, word_pieces: WordPieces
) -> None:
    refused: dict[int, tuple[_Raw, Refusal, str]] = {}
    candidates: list[_Candidate] = []
    for index, raw in enumerate(raws):
        made = raw.problem or _candidate(index, raw, settings)
        if isinstance(made, Refusal):
            refused[index] = (raw, made, _name(raw.value))
        else:
            candidates.append(made)
    fitting = _between(candidates, settings, word_pieces)
    for candidate in candidates:
        problem = fitting.get(candidate.index)
        if problem is not None:
            raw = raws[candidate.index]
            refused[candidate.index] = (raw, problem, candidate.document.id)
        else:
            result.accepted.append(StoredDocument(candidate.document, candidate.split))
    for index in sorted(refused):
        raw, problem, name = refused[index]
        source = f"{raw.source} (id {name[:80]})" if name else raw.source
        result.quarantined.append(
            QuarantinedRow(index, source, problem.reason, problem.detail, raw.value)
        )


def _candidate(index: int, raw: _Raw, settings: Settings) -> _Candidate | Refusal:
    made = build_document(raw.value, None, settings.intake.max_text_chars)
    if isinstance(made, Refusal):
        return made
    document, _ = made
    given = raw.value.get("split")
    if given is not None and given not in SPLITS:
        return Refusal(
            "invalid_split", f"split {shown(given)}; accepted: {', '.join(SPLITS)}, or none"
        )
    names = {e.type for e in document.entities} | {r.type for r in document.relations}
    for name in sorted(names):
        problem = label_problem(name)
        if problem is not None:
            return Refusal("invalid_type_name", f"type {shown(name)}: {problem}")
    split: Split = raw.declared or given or _drawn(document, settings)
    return _Candidate(index, raw.source, raw.value, _cleaned(document, settings), split)


def _drawn(document: Document, settings: Settings) -> Split:
    return split_of(words_key(document), settings.intake.split_ratio)


def _cleaned(document: Document, settings: Settings) -> Document:
    document = ordered_document(document, frozenset(settings.joint.symmetric_relations))
    # A name for people: half a surrogate pair in it is no reason to lose the document.
    return replace(document, id=document.id.encode("utf-8", "replace").decode("utf-8"))


def _between(
    candidates: Sequence[_Candidate], settings: Settings, word_pieces: WordPieces
) -> dict[int, Refusal]:
    """Refusals of documents that are too long, and of those that say one text twice."""
    problems: dict[int, Refusal] = {}
    first: dict[str, _Candidate] = {}
    sizes = word_pieces([c.document for c in candidates]) if candidates else []
    for candidate, size in zip(candidates, sizes, strict=True):
        if size > settings.spans.max_length:
            problems[candidate.index] = Refusal(
                "too_long_for_encoder",
                f"{size} word pieces; the model reads {settings.spans.max_length} "
                "(spans.max_length): divide the document",
            )
            continue
        other = first.setdefault(words_key(candidate.document), candidate)
        if other is candidate:
            continue
        if _labels(other.document) == _labels(candidate.document):
            problems[candidate.index] = Refusal("duplicate", f"the same document as {other.source}")
        else:
            problems[candidate.index] = Refusal(
                "conflicting_label",
                f"the same words as {other.source}, which is kept, with other labels",
            )
    return problems


def _labels(document: Document) -> tuple[frozenset[Any], frozenset[Any]]:
    """Entities and relations, whatever their order in the file."""
    ends = document.entities
    return (
        frozenset(ends),
        frozenset((ends[r.head], ends[r.tail], r.type) for r in document.relations),
    )


def _name(raw: Any) -> str:
    value = raw.get("orig_id", raw.get("id")) if isinstance(raw, dict) else None
    return value if isinstance(value, str) else "" if value is None else shown(value)


def require_documents(batch: DocumentBatch, settings: Settings) -> None:
    """Refuse a batch of which too little is left.

    Raises:
        BatchRejected: ``too_few_documents``.
    """
    accepted, least = len(batch.accepted), settings.joint.min_documents
    if accepted < least:
        raise BatchRejected(
            "too_few_documents",
            f"{accepted} of {batch.counts['read']} documents are usable, joint.min_documents is "
            f"{least}; 'cfcre quarantine show' tells what is wrong with the others",
        )
