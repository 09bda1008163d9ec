"""A batch of documents feeds both models: once its stream is done with it, the documents go on.

They are copied into the inbox of the stream of documents, as a batch with a manifest of its own,
and from there on they are a batch like any other: recorded once by the hash of its content, claimed
under a lease with a fencing token, tried again, set aside as poison, retried or skipped.

It happens before the batch's objects leave the inbox, and the ledger learns of their new place
last. So after a process that was killed in between, the next one finds the objects still misplaced
and does it again: the same content is the same batch.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.config.names import documents_stream, is_documents_stream
from cfcre.errors import DataError, NotFoundError
from cfcre.operations.placement import placed_key

if TYPE_CHECKING:
    from cfcre.intake.manifest import Manifest
    from cfcre.intake.store import ObjectStore
    from cfcre.operations.ledger import BatchRecord, Ledger

__all__ = ["hand_documents_on", "has_documents"]

log = logging.getLogger(__name__)

_FORMAT = "spert"
_STATES = ("promoted", "held", "rejected")


def has_documents(batch: BatchRecord) -> bool:
    """Whether a batch of relations is settled and held documents that were read.

    A rejected batch counts too, as long as its files could be read: that a relation has too few
    rows says nothing against the documents, which are judged by themselves. A batch that a person
    gave up does not, and one that failed does when it is retried.
    """
    return (
        batch.state in _STATES
        and batch.reason != "skipped"
        and not is_documents_stream(batch.stream)
        and bool(_paths(batch))
    )


def hand_documents_on(
    settings: Settings, store: ObjectStore, ledger: Ledger, batch: BatchRecord
) -> str | None:
    """Put the documents of a settled batch into the inbox of its stream of documents, once.

    Args:
        settings: ``joint.enabled`` and ``intake`` are used.
        store: The object store.
        ledger: The ledger.
        batch: A batch whose objects are about to leave the inbox.

    Returns:
        The stream that got them; None where nothing had to be done.

    Raises:
        StoreUnavailable: The store did not answer; nothing was left half done, and the same call
            goes on.
        LedgerUnavailable: The ledger did not answer.
    """
    if not settings.joint.enabled or not has_documents(batch):
        return None
    try:
        manifest, contents = _read(settings, store, batch)
    except DataError as problem:
        # Somebody took the objects away or replaced them since they were read: there is nothing
        # left to hand on, and one batch must not stop the others.
        log.warning("batch %s: its documents could not be handed on: %s", batch.name, problem)
        return None
    stream = documents_stream(batch.stream)
    if _known(ledger, stream, manifest.batch_hash):
        return None
    folder = f"inbox/{stream}/{manifest.batch}"
    for file, data in zip(manifest.files, contents, strict=True):
        store.write(f"{folder}/{file.path}", data)
    store.write(f"{folder}/manifest.json", manifest.to_bytes())
    log.info("batch %s: its documents are a batch of stream %s", batch.name, stream)
    return stream


def _paths(batch: BatchRecord) -> list[str]:
    """The files of a batch that were read as documents."""
    files: list[dict[str, Any]] = batch.facts.get("files") or []
    return [str(file["path"]) for file in files if file.get("format") == _FORMAT]


def _read(
    settings: Settings, store: ObjectStore, batch: BatchRecord
) -> tuple[Manifest, list[bytes]]:
    """The manifest of the new batch and the content of its files, as they were recorded."""
    from cfcre.intake.ingest import batch_manifest, verified_bytes
    from cfcre.intake.manifest import Manifest

    reader: Any = _Following(store, batch)
    try:
        listed, folder = batch_manifest(reader, batch)
    except NotFoundError as error:
        raise DataError(f"its manifest is gone: {error}") from error
    wanted = set(_paths(batch))
    files, contents = [], []
    for file in listed.files:
        if file.path not in wanted:
            continue
        contents.append(verified_bytes(reader, folder, file, settings))
        # Rows were relations there and are documents here; the count is left out.
        files.append(file.model_copy(update={"rows": None, "format": _FORMAT}))
    stream = documents_stream(batch.stream)
    manifest = Manifest(version=1, stream=stream, files=files, submitted_at=batch.submitted_at)
    name = f"{batch.name[:100]}.{manifest.batch_hash[:8]}"
    return manifest.model_copy(update={"batch": name}), contents


class _Following:
    """Reads a batch's objects where they are: in the inbox, or where they were moved meanwhile."""

    def __init__(self, store: ObjectStore, batch: BatchRecord) -> None:
        self._store = store
        self._batch = batch

    def read(self, key: str, *, limit: int) -> bytes:
        try:
            return self._store.read(key, limit=limit)
        except NotFoundError:
            moved = placed_key(self._batch, self._batch.wanted_place, key)
            return self._store.read(moved, limit=limit)


def _known(ledger: Ledger, stream: str, batch_hash: str) -> bool:
    try:
        ledger.batch(batch_hash, stream)
    except NotFoundError:
        return False
    return True
