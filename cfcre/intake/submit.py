"""Submitting local files: check them, upload them, write the manifest last."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from cfcre.config import Settings
from cfcre.config.names import is_documents_stream
from cfcre.data.schema import SPLITS, Split
from cfcre.errors import BatchRejected, ConfigurationError
from cfcre.intake.formats import Limits, Selection, check_format
from cfcre.intake.inbox import INBOX, MAX_MANIFEST_BYTES
from cfcre.intake.ingest import parse_bytes
from cfcre.intake.manifest import MANIFEST, Manifest, ManifestFile, parse_manifest
from cfcre.intake.span_documents import count_documents
from cfcre.intake.store import NAME, ObjectStore

__all__ = ["SubmitFile", "SubmitResult", "parse_file", "parse_limits", "submit_batch"]

Place = Literal["inbox", "processed", "rejected", "failed"]


@dataclass(frozen=True)
class SubmitFile:
    """A local file and the split of its rows, None for "as each row says, or by hash"."""

    path: Path
    split: Split | None = None


@dataclass(frozen=True)
class SubmitResult:
    """What a submission did.

    Attributes:
        stream: Stream name.
        name: Batch name.
        batch_hash: What identifies the batch.
        rows: File name in the batch to rows in the file, before filter and limits.
        already: Where the same content was found, so that nothing was uploaded; None if it is new.
    """

    stream: str
    name: str
    batch_hash: str
    rows: dict[str, int]
    already: Place | None


def parse_file(text: str) -> SubmitFile:
    """Read ``FILE`` or ``FILE@SPLIT`` of the command line.

    Raises:
        ConfigurationError: No such file, or no such split.
    """
    path, mark, split = text.rpartition("@")
    if mark and not Path(text).is_file():
        for known in SPLITS:
            if split == known:
                return SubmitFile(_existing(path), known)
        raise ConfigurationError(f"{text!r}: after '@' comes one of {', '.join(SPLITS)}")
    return SubmitFile(_existing(text))


def parse_limits(text: str) -> int | dict[str, int]:
    """Read ``N`` or ``train=N,test=M`` of the command line.

    Raises:
        ConfigurationError: Anything else.
    """
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text) > 0:
        return int(text)
    limits: dict[str, int] = {}
    for part in text.split(","):
        split, _, number = part.partition("=")
        if split not in SPLITS or split in limits or not re.fullmatch(r"[0-9]{1,9}", number):
            raise ConfigurationError(
                f"rows per relation {text!r}: give a number above 0, or train=N,validation=N,test=N"
            )
        limits[split] = int(number)
    return limits


def submit_batch(
    store: ObjectStore,
    files: Sequence[SubmitFile],
    *,
    stream: str,
    settings: Settings,
    sequence: int | None = None,
    format: str | None = None,
    relations: Sequence[str] | None = None,
    limits: Limits = None,
    descriptions: Mapping[str, str] | None = None,
) -> SubmitResult:
    """Upload files as one batch. The files are stored unchanged; selection is in the manifest.

    Repeating a submission, also one that was killed half-way, ends with the same batch.

    Args:
        store: The object store.
        files: Files in the order in which their rows are read.
        stream: Stream name.
        settings: Settings; ``intake`` bounds what is read.
        sequence: Place in the stream; None for "in order of arrival".
        format: Format of all files; None to recognise each.
        relations: Only these relations.
        limits: The first rows of each relation in each file, or of each relation in each split.
        descriptions: What relations mean, for people.

    Raises:
        ConfigurationError: An argument is wrong, or a wanted relation is in none of the files.
        BatchRejected: A file can not be read, or the sequence is taken by another batch.
        StoreUnavailable: The store did not answer.
    """
    if not NAME.fullmatch(stream):
        raise ConfigurationError(
            f"stream {stream!r}: use 1 to 128 letters, digits, '.', '_' and '-', "
            "the first a letter or digit"
        )
    if not files:
        raise ConfigurationError("no file to submit; give one or more")
    check_format(format)
    documents = is_documents_stream(stream)
    if documents and (format not in (None, "spert") or relations or limits):
        raise ConfigurationError(
            f"stream {stream!r} takes documents (format spert), whole: give no other format, no "
            "relations and no limits"
        )
    wanted = frozenset(relations) if relations is not None else None
    entries: list[ManifestFile] = []
    contents: list[bytes] = []
    seen: set[str] = set()
    for file in files:
        data = _read(file.path, settings.intake.max_object_bytes)
        count = Selection(nothing=True)
        # Read under the name it will have in the store, so that both recognise the same format.
        path = _stored_name(file.path.name, {e.path for e in entries})
        if documents:
            total = count_documents(data, path, settings)
        else:
            _, _, total = parse_bytes(
                data, path, format=format, declared=file.split, selection=count, settings=settings
            )
        seen |= count.seen
        contents.append(data)
        digest = hashlib.sha256(data).hexdigest()
        entries.append(
            ManifestFile(
                path=path,
                sha256=digest,
                bytes=len(data),
                rows=total,
                split=file.split,
                format=format,
            )
        )
    if wanted is not None and (absent := sorted(wanted - seen)):
        raise ConfigurationError(f"no row has the relation {', '.join(map(repr, absent))}")
    manifest = _manifest(stream, entries, sequence, wanted, limits, descriptions)
    return _upload(store, manifest, entries, contents)


def _manifest(
    stream: str,
    entries: list[ManifestFile],
    sequence: int | None,
    wanted: frozenset[str] | None,
    limits: Limits,
    descriptions: Mapping[str, str] | None,
) -> Manifest:
    data = {
        "version": 1,
        "stream": stream,
        "files": entries,
        "sequence": sequence,
        "relations": sorted(wanted) if wanted is not None else None,
        "max_per_relation": dict(limits) if isinstance(limits, Mapping) else limits,
        "descriptions": dict(descriptions or {}),
        "submitted_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigurationError(f"{where}: {problem['msg']}") from error
    stem = re.sub(r"\.(jsonl|ndjson|json|csv|parquet|pq|txt|gz)\b", "", entries[0].path)
    name = f"{stem[:100]}-{manifest.batch_hash[:12]}"
    return manifest.model_copy(update={"batch": name})


def _upload(
    store: ObjectStore, manifest: Manifest, entries: list[ManifestFile], contents: list[bytes]
) -> SubmitResult:
    stream, digest = str(manifest.stream), manifest.batch_hash
    rows = {e.path: e.rows or 0 for e in entries}
    found = _find(store, stream, digest, manifest.sequence)
    if found is not None:
        return SubmitResult(stream, found[1], digest, rows, found[0])
    folder = f"{INBOX}/{stream}/{manifest.batch}"
    for entry, data in zip(entries, contents, strict=True):
        store.write(f"{folder}/{entry.path}", data)
    store.write(f"{folder}/{MANIFEST}", manifest.to_bytes())
    return SubmitResult(stream, str(manifest.batch), digest, rows, None)


def _find(
    store: ObjectStore, stream: str, digest: str, sequence: int | None
) -> tuple[Place, str] | None:
    """Where the same content lies already, and its batch name."""
    places: tuple[Place, ...] = ("processed", "rejected", "failed")
    for place in places:
        if store.list(f"{place}/{stream}/{digest}/"):
            return place, digest[:12]
    for info in store.list(f"{INBOX}/{stream}/"):
        parts = info.key.split("/")
        if len(parts) != 4 or parts[3] != MANIFEST:
            continue
        try:
            other = parse_manifest(store.read(info.key, limit=MAX_MANIFEST_BYTES))
        except BatchRejected:
            continue  # a bad manifest is reported when the inbox is read; it is not this batch
        if other.batch_hash == digest:
            return "inbox", parts[2]
        if sequence is not None and other.sequence == sequence:
            raise BatchRejected(
                "sequence_conflict",
                f"sequence {sequence} of stream {stream!r} is taken by batch {parts[2]!r}",
            )
    return None


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ConfigurationError(f"there is no file {text!r}")
    return path


def _read(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise BatchRejected(
                "object_too_large",
                f"{path.name} has {size} bytes; intake.max_object_bytes allows {limit}: "
                "split the file",
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error


def _stored_name(name: str, taken: set[str]) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip("._-")[-120:] or "file"
    candidate, number = safe, 1
    while candidate in taken or candidate == MANIFEST:
        number += 1
        candidate = f"{number}-{safe}"
    return candidate
