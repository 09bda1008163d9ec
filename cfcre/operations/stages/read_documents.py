"""Stage ``read_documents``: each document is accepted or quarantined; all so far are one corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.data.files import write_bytes
from cfcre.data.schema import SPLITS
from cfcre.operations.joint import memory
from cfcre.operations.stages.common import Stage, stage
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.states import learned_tasks
from cfcre.spans.storing import StoredDocument, documents_to_lines

if TYPE_CHECKING:
    from cfcre.intake.span_documents import DocumentBatch
    from cfcre.spans.documents import Document

__all__ = ["run"]

NAME = "read_documents"


@retrying
def run(*, claim: str, settings: str, corpus: str) -> dict[str, int]:
    """Read, verify and check the claimed batch of documents.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        corpus: File to write all documents so far to, each with its split.

    Returns:
        Counts: ``read``, ``accepted``, ``quarantined``, and ``corpus`` for all documents so far.

    Raises:
        BatchRejected: The batch as a whole is at fault; its bad documents are in quarantine all
            the same.
        StoreUnavailable: The object store did not answer.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.intake.span_documents import read_document_batch, require_documents

        task = running.claim
        batch = read_document_batch(
            running.store, task, settings=running.settings, word_pieces=_counter(running)
        )
        _quarantine(running, batch)
        running.ledger.advance(
            task, "claimed", files=batch.files, rows=batch.counts, **_facts(batch)
        )
        require_documents(batch, running.settings)
        documents = memory.joined([*_earlier(running), _named(running, batch)], running.settings)
        memory.require_corpus(documents, running.settings)
        memory.write_documents(running.store, task.stream, task.batch_hash, batch.accepted)
        write_bytes(Path(corpus), documents_to_lines(documents))
        running.ledger.advance(task, "validated", corpus=_splits(documents))
        running.facts.update(batch.counts, corpus=len(documents))
        return {**batch.counts, "corpus": len(documents)}


def _counter(running: Stage) -> Any:
    from cfcre.data.encoder_files import resolve_encoder
    from cfcre.spans.word_pieces import load_word_pieces

    tokenizer = load_word_pieces(resolve_encoder(running.settings.spans.encoder))

    def count(documents: Sequence[Document]) -> list[int]:
        lengths = tokenizer.encode([document.words for document in documents]).lengths
        return [int(length) for length in lengths]

    return count


def _quarantine(running: Stage, batch: DocumentBatch) -> None:
    from cfcre.intake.quarantine import write_quarantine

    write_quarantine(
        running.store,
        running.claim.stream,
        running.claim.batch_hash,
        batch.quarantined,
        batch.counts,
        batch_name=running.claim.batch_name,
    )


def _facts(batch: DocumentBatch) -> dict[str, Any]:
    documents = [stored.document for stored in batch.accepted]
    relations = Counter(r.type for document in documents for r in document.relations)
    entities = Counter(e.type for document in documents for e in document.entities)
    return {
        "relations": sorted(relations),
        "labels_by_type": {
            "entities": dict(sorted(entities.items())),
            "relations": dict(sorted(relations.items())),
        },
        "quarantined_by_reason": batch.by_reason,
    }


def _named(running: Stage, batch: DocumentBatch) -> list[StoredDocument]:
    name = running.claim.batch_hash
    return [StoredDocument(s.document, s.split, name) for s in batch.accepted]


def _earlier(running: Stage) -> list[list[StoredDocument]]:
    """Documents of every batch of the stream that was learned, whether promoted or held."""
    stream = running.claim.stream
    return [
        memory.read_documents(running.store, stream, task["batch"], running.settings)
        for task in learned_tasks(running.ledger, stream)
    ]


def _splits(documents: Sequence[StoredDocument]) -> dict[str, int]:
    found = Counter(stored.split for stored in documents)
    return {split: found[split] for split in SPLITS}
