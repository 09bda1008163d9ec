"""All documents so far: what a span model is trained and judged on.

``documents/<stream>/<batch hash>.jsonl`` holds a batch's accepted documents. They are the span
model's memory, whole: unlike a relation stream, which keeps ten examples a relation, nothing is
selected from them, because every document is needed for the words that are *no* entity as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cfcre.config import Settings
from cfcre.data.schema import Split
from cfcre.errors import BatchRejected, DataError
from cfcre.spans.checks import ordered_document
from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.storing import (
    StoredDocument,
    documents_from_lines,
    documents_to_lines,
    words_key,
)

if TYPE_CHECKING:
    from cfcre.intake.store import ObjectStore

__all__ = [
    "documents_key",
    "in_split",
    "joined",
    "read_corpus",
    "read_documents",
    "require_corpus",
    "types_of",
    "write_documents",
]


def documents_key(stream: str, batch_hash: str) -> str:
    """Key of a batch's accepted documents."""
    return f"documents/{stream}/{batch_hash}.jsonl"


def write_documents(
    store: ObjectStore, stream: str, batch_hash: str, documents: Iterable[StoredDocument]
) -> None:
    """Keep the accepted documents of a batch; writing again replaces them by the same.

    Raises:
        StoreUnavailable: The store did not answer.
    """
    named = [replace(stored, batch=batch_hash) for stored in documents]
    store.write(documents_key(stream, batch_hash), documents_to_lines(named))


def read_documents(
    store: ObjectStore, stream: str, batch_hash: str, settings: Settings
) -> list[StoredDocument]:
    """Read what :func:`write_documents` wrote.

    Raises:
        NotFoundError: The batch has no accepted documents in this store.
        DataError: The object is damaged.
        StoreUnavailable: The store did not answer.
    """
    key = documents_key(stream, batch_hash)
    return documents_from_lines(store.read(key, limit=settings.intake.max_decompressed_bytes), key)


def read_corpus(path: Path) -> list[StoredDocument]:
    """Read the file of all documents so far that the stage ``read_documents`` wrote.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        return documents_from_lines(path.read_bytes(), path.name)
    except OSError as error:
        raise DataError(f"cannot read the corpus {path.name}: {error.strerror or error}") from error


def joined(batches: Iterable[Sequence[StoredDocument]], settings: Settings) -> list[StoredDocument]:
    """The documents of several batches, oldest first, each text once.

    A text that comes again keeps the split it had first, so that nothing a model was trained on is
    ever held out afterwards or the other way round, and gets the newest labels: submitting a
    document again is how a label is corrected.

    Args:
        batches: The documents of each batch.
        settings: ``joint.symmetric_relations`` is used.
    """
    symmetric = frozenset(settings.joint.symmetric_relations)
    found: dict[str, StoredDocument] = {}
    for batch in batches:
        for stored in batch:
            key = words_key(stored.document)
            split = found[key].split if key in found else stored.split
            document = ordered_document(stored.document, symmetric)
            found[key] = replace(stored, document=document, split=split)
    return list(found.values())


def in_split(documents: Iterable[StoredDocument], split: Split) -> list[Document]:
    """The documents of a split, in order."""
    return [stored.document for stored in documents if stored.split == split]


def types_of(documents: Iterable[Document], settings: Settings) -> LabelTypes:
    """Types that occur, with those that ``joint.symmetric_relations`` names as symmetric."""
    types = LabelTypes.of(documents)
    symmetric = frozenset(settings.joint.symmetric_relations) & set(types.relations)
    return replace(types, symmetric=symmetric)


def require_corpus(documents: Sequence[StoredDocument], settings: Settings) -> None:
    """Refuse a batch with which nothing could be learned or judged.

    Raises:
        BatchRejected: ``too_few_documents`` or ``too_many_types``.
    """
    train = types_of(in_split(documents, "train"), settings)
    if not train.entities or not train.relations:
        raise BatchRejected(
            "too_few_documents",
            f"the {len(in_split(documents, 'train'))} documents to train on, those of earlier "
            f"batches included, have {len(train.entities)} entity types and "
            f"{len(train.relations)} relation types; at least one of each is needed",
        )
    count = len(train.entities) + len(train.relations)
    if count > settings.joint.max_types:
        raise BatchRejected(
            "too_many_types",
            f"{count} entity and relation types in all documents; joint.max_types is "
            f"{settings.joint.max_types}: are these names of types?",
        )
    if not any(document.entities for document in in_split(documents, "test")):
        raise BatchRejected(
            "too_few_documents",
            "no accepted document with an entity is in the test split, in this batch or an earlier "
            "one, so the model could not be judged; add documents, or submit some as FILE@test",
        )
