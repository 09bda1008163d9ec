"""What lies in the inbox: batches that are complete, and things that can not be one.

Listing is repeated every few seconds, so it is cheap: a batch with a manifest is identified by the
manifest alone, a single object by the hash of its bytes, which is kept in a cache file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cfcre.config import Settings
from cfcre.data.files import write_json
from cfcre.errors import BatchRejected, DataError, NotFoundError
from cfcre.intake.manifest import MANIFEST, parse_manifest
from cfcre.intake.store import NAME, ObjectInfo, ObjectStore, safe_key

__all__ = [
    "INBOX",
    "MAX_MANIFEST_BYTES",
    "BatchReference",
    "PendingBatch",
    "discover",
    "name_problem",
]

INBOX = "inbox"
MAX_MANIFEST_BYTES = 16_000_000
_NO_STREAM = "no-stream"
_log = logging.getLogger(__name__)


class BatchReference(Protocol):
    """What identifies a batch to later stages; a ledger claim has these too."""

    @property
    def stream(self) -> str:
        """Stream name."""
        ...

    @property
    def batch_hash(self) -> str:
        """What identifies the batch."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Inbox keys, the manifest first."""
        ...

    @property
    def manifest_key(self) -> str | None:
        """Key of the manifest; None for a single object."""
        ...


@dataclass(frozen=True)
class PendingBatch:
    """A batch that lies in the inbox.

    Attributes:
        stream: Stream name. Made from the folder's name where that is no valid name.
        name: Batch folder, or the object's file name; always a valid name.
        keys: Inbox keys in the order to move them: the manifest first, so that half a moved batch
            is not found again. Empty where a key is too odd to be used at all.
        batch_hash: What identifies the batch.
        sequence: Place in the stream asked for by the manifest.
        submitted_at: ISO 8601, UTC.
        problem: Why it can not be a task; to be recorded and moved aside.
        manifest_key: Key of the manifest.
    """

    stream: str
    name: str
    keys: tuple[str, ...]
    batch_hash: str
    sequence: int | None
    submitted_at: str
    problem: BatchRejected | None
    manifest_key: str | None


def discover(
    store: ObjectStore,
    stream: str | None = None,
    *,
    settings: Settings,
    cache: Path | None = None,
) -> list[PendingBatch]:
    """List the batches of the inbox, oldest first within a stream.

    A folder without a manifest is an upload in progress and is left out, as are dot files and
    ``*.partial``. Whatever is wrong with one batch is in its ``problem``; it stops no other.

    Args:
        store: The object store.
        stream: Only this stream.
        settings: Settings; ``intake`` bounds what is read.
        cache: File that keeps the hashes of single objects between calls; created when missing.

    Raises:
        StoreUnavailable: The store did not answer.
    """
    known = _read_cache(cache)
    fresh: dict[str, list[str]] = {}
    folders: dict[tuple[str, str], list[ObjectInfo]] = defaultdict(list)
    found: list[PendingBatch] = []
    for info in store.list(f"{INBOX}/{stream}/" if stream else f"{INBOX}/"):
        parts = info.key.split("/")
        if _unfinished(parts[-1]):
            continue
        if len(parts) > 3:
            folders[(parts[1], parts[2])].append(info)
        elif (single := _single(store, info, settings, known, fresh)) is not None:
            found.append(single)
    for members in folders.values():
        batch = _folder(store, members)
        if batch is not None:
            found.append(batch)
    if cache is not None and fresh != known:
        write_json(cache, fresh)
    return sorted(found, key=lambda b: (b.stream, b.submitted_at, b.name))


def name_problem(key: str) -> BatchRejected | None:
    """What is wrong with an inbox key: its stream, its batch name, or the key itself."""
    try:
        safe_key(key)
    except DataError as error:
        return BatchRejected("invalid_name", str(error))
    parts = key.split("/")
    if len(parts) < 3:
        return BatchRejected(
            "invalid_name", f"{key!r} lies outside a stream; drop it in {INBOX}/<stream>/"
        )
    for kind, name in (("stream", parts[1]), ("batch", parts[2])):
        if not NAME.fullmatch(name):
            return BatchRejected(
                "invalid_name",
                f"{kind} name {name[:150]!r} in {INBOX}/: use 1 to 128 letters, digits, '.', '_' "
                "and '-', the first a letter or digit",
            )
    return None


def _single(
    store: ObjectStore,
    info: ObjectInfo,
    settings: Settings,
    known: dict[str, list[str]],
    fresh: dict[str, list[str]],
) -> PendingBatch | None:
    problem = name_problem(info.key)
    # Stands for an object that is not read: the same object gets the same hash again.
    digest = _digest(f"unread:{info.key}:{info.size}:{info.etag}")
    if problem is None:
        version = f"{info.size}:{info.etag}:{info.modified.isoformat()}"
        try:
            if known.get(info.key, [""])[0] == version:
                digest = known[info.key][1]
            else:
                data = store.read(info.key, limit=settings.intake.max_object_bytes)
                digest = hashlib.sha256(data).hexdigest()
            fresh[info.key] = [version, digest]
        except NotFoundError:
            return None  # taken away since the listing
        except BatchRejected as error:
            problem = error
        except DataError as error:
            problem = BatchRejected("unreadable_file", str(error))
    return _pending([info], digest, problem, info.modified.astimezone(UTC).isoformat())


def _folder(store: ObjectStore, members: list[ObjectInfo]) -> PendingBatch | None:
    place = "/".join(members[0].key.split("/")[:3])
    manifest_info = next((m for m in members if m.key == f"{place}/{MANIFEST}"), None)
    if manifest_info is None:
        return None
    problem = name_problem(manifest_info.key)
    digest = _digest(f"unread:{manifest_info.key}:{manifest_info.size}:{manifest_info.etag}")
    submitted = manifest_info.modified.astimezone(UTC).isoformat()
    sequence = None
    if problem is None:
        try:
            data = store.read(manifest_info.key, limit=MAX_MANIFEST_BYTES)
            digest = _digest("manifest:" + hashlib.sha256(data).hexdigest())
            _, stream, batch = place.split("/")
            manifest = parse_manifest(data, stream=stream, batch=batch)
            digest, sequence = manifest.batch_hash, manifest.sequence
            submitted = _utc(manifest.submitted_at) or submitted
        except NotFoundError:
            return None
        except BatchRejected as error:
            problem = error
        except DataError as error:
            problem = BatchRejected("manifest_invalid", str(error))
    ordered = [manifest_info, *(m for m in members if m is not manifest_info)]
    return _pending(ordered, digest, problem, submitted, sequence, manifest_info.key)


def _pending(
    members: list[ObjectInfo],
    digest: str,
    problem: BatchRejected | None,
    submitted: str,
    sequence: int | None = None,
    manifest_key: str | None = None,
) -> PendingBatch:
    parts = members[0].key.split("/")
    stream = _as_name(parts[1]) if len(parts) > 2 else _NO_STREAM
    if problem is not None:
        _log.warning("inbox: %r: %s", members[0].key, problem)
    return PendingBatch(
        stream=stream,
        name=_as_name(parts[2] if len(parts) > 2 else parts[-1]),
        keys=tuple(m.key for m in members if _usable(m.key)),
        batch_hash=digest,
        sequence=sequence,
        submitted_at=submitted,
        problem=problem,
        manifest_key=manifest_key,
    )


def _usable(key: str) -> bool:
    try:
        safe_key(key)
    except DataError:
        return False
    return True


def _as_name(text: str) -> str:
    if NAME.fullmatch(text):
        return text
    return ("x" + re.sub(r"[^A-Za-z0-9._-]", "_", text))[:128]


def _unfinished(name: str) -> bool:
    return name.startswith(".") or name.endswith(".partial") or not name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _utc(text: str | None) -> str | None:
    """ISO 8601 in UTC, so that times compare as text; None where it is not a time."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)).isoformat()


def _read_cache(cache: Path | None) -> dict[str, list[str]]:
    if cache is None or not cache.is_file():
        return {}
    try:
        data = json.loads(cache.read_text(encoding="utf-8"))
        return {str(k): [str(v[0]), str(v[1])] for k, v in data.items()}
    except (OSError, ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
        # Only a cache: hashing again is slower and right.
        _log.warning("the inbox cache %s is unreadable and is made again: %s", cache.name, error)
        return {}
