"""Objects of a batch follow its state: inbox, processed, rejected or failed.

A move may be cut off anywhere and is done again: each object's move is idempotent, and the ledger
learns the new place last. Nothing is ever deleted but ``reason.json`` of a batch that is retried.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from typing import Protocol

from cfcre.errors import DataError, NotFoundError
from cfcre.operations.ledger import BatchRecord, Ledger

__all__ = ["REASON_FILE", "MovingStore", "place", "place_duplicate", "placed_key"]

log = logging.getLogger(__name__)

REASON_FILE = "reason.json"


class MovingStore(Protocol):
    """The part of the object store that placing needs, see ``cfcre.intake.store.ObjectStore``."""

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename; source gone and target there is success."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        ...


def place(
    store: MovingStore, ledger: Ledger, batch: BatchRecord, *, foreign: Collection[str] = ()
) -> None:
    """Move a batch's objects to where its state wants them.

    Args:
        store: The object store.
        ledger: The ledger.
        batch: A batch of ``ledger.misplaced()``.
        foreign: Inbox keys that hold another batch's content by now; these are not touched.
    """
    source, target = batch.placed, batch.wanted_place
    if target == "inbox":
        _bring_back(store, ledger, batch, foreign)
        return
    # A manifest says that a batch is complete: it leaves the inbox first and comes back last, so
    # that half a batch is never found there.
    for key in sorted(batch.keys, key=lambda key: key != batch.manifest_key):
        here, there = placed_key(batch, source, key), placed_key(batch, target, key)
        if here in foreign:
            log.warning("%s holds another batch now; batch %s keeps no copy of it", key, batch.name)
            continue
        _move(store, batch, here, there)
    if target in ("rejected", "failed"):
        store.write(_reason_key(batch, target), _reason(batch, ledger))
    if source in ("rejected", "failed"):
        store.delete(_reason_key(batch, source))
    ledger.mark_placed(batch, target)


def place_duplicate(store: MovingStore, batch: BatchRecord, keys: Sequence[str]) -> None:
    """Move objects that repeat a settled batch beside it, in the order given (manifest first)."""
    folder = f"{batch.wanted_place}/{batch.stream}/{batch.batch_hash}/duplicates"
    for key in keys:
        _move(store, batch, key, f"{folder}/{_inner(batch.stream, key)}")


def _bring_back(
    store: MovingStore, ledger: Ledger, batch: BatchRecord, foreign: Collection[str]
) -> None:
    """Give a retried batch its objects back, under another name if theirs is taken."""
    taken = any(key in foreign for key in batch.keys)
    back = {key: _other_name(batch, key) if taken else key for key in batch.keys}
    for key in sorted(batch.keys, key=lambda key: key == batch.manifest_key):
        _move(store, batch, placed_key(batch, batch.placed, key), back[key])
    if batch.placed in ("rejected", "failed"):
        store.delete(_reason_key(batch, batch.placed))
    if taken:
        ledger.relocate(
            batch.stream,
            batch.batch_hash,
            name=batch.name,
            keys=[back[key] for key in batch.keys],
            manifest_key=back[batch.manifest_key] if batch.manifest_key else None,
        )
    else:
        ledger.mark_placed(batch, "inbox")


def _other_name(batch: BatchRecord, key: str) -> str:
    return f"inbox/{batch.stream}/{batch.batch_hash[:8]}-{_inner(batch.stream, key)}"


def _move(store: MovingStore, batch: BatchRecord, source: str, target: str) -> None:
    try:
        store.move(source, target)
    except (NotFoundError, DataError) as error:
        # Removed by somebody, or a name that is too long elsewhere: the ledger's row remains, and
        # one batch must not stop the others.
        log.warning("batch %s: %s was not moved to %s: %s", batch.name, source, target, error)


def _inner(stream: str, key: str) -> str:
    return key.removeprefix(f"inbox/{stream}/")


def placed_key(batch: BatchRecord, where: str, key: str) -> str:
    """Key of a batch's object, by its key in the inbox, when the batch lies in ``where``."""
    if where == "inbox":
        return key
    return f"{where}/{batch.stream}/{batch.batch_hash}/{_inner(batch.stream, key)}"


def _reason_key(batch: BatchRecord, where: str) -> str:
    return f"{where}/{batch.stream}/{batch.batch_hash}/{REASON_FILE}"


def _reason(batch: BatchRecord, ledger: Ledger) -> bytes:
    settled = batch.settled_at or ledger.now()
    document = {
        "stream": batch.stream,
        "batch": batch.batch_hash,
        "name": batch.name,
        "sequence": batch.sequence,
        "state": batch.state,
        "reason": batch.reason,
        "detail": batch.detail,
        "attempts": batch.failures,
        "interruptions": batch.interruptions,
        "at": settled.isoformat(),
    }
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode("utf-8")
