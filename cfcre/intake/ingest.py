"""From the objects of a batch to its rows: verify, unpack, parse, select."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from cfcre.config import Settings
from cfcre.data.schema import Split
from cfcre.errors import BatchRejected, NotFoundError
from cfcre.intake.compression import decompress
from cfcre.intake.formats import Selection, parse_rows
from cfcre.intake.inbox import MAX_MANIFEST_BYTES, BatchReference, name_problem
from cfcre.intake.manifest import Manifest, ManifestFile, parse_manifest
from cfcre.intake.rows import FileFacts, RawBatch, RawRow
from cfcre.intake.store import ObjectStore

__all__ = ["batch_manifest", "ingest_batch", "parse_bytes", "verified_bytes"]


def ingest_batch(store: ObjectStore, batch: BatchReference, *, settings: Settings) -> RawBatch:
    """Read a batch of the inbox.

    Everything that :func:`cfcre.intake.inbox.discover` found wrong is found again here, so a batch
    can be ingested from its reference alone.

    Args:
        store: The object store.
        batch: A pending batch or a ledger claim.
        settings: Settings; ``intake`` bounds what is read.

    Raises:
        BatchRejected: The batch can not be read; see :data:`cfcre.intake.rows.BATCH_REASONS`.
        NotFoundError: The batch is not in the inbox any more.
        StoreUnavailable: The store did not answer.
    """
    manifest, folder = batch_manifest(store, batch)
    result = RawBatch(batch.stream, batch.batch_hash, [], descriptions=manifest.descriptions)
    wanted = frozenset(manifest.relations) if manifest.relations is not None else None
    for file in manifest.files:
        facts, rows = _file(store, folder, file, manifest, wanted, settings, len(result.rows))
        result.files.append(facts)
        result.rows.extend(rows)
    if not result.rows:
        total = sum(file.rows for file in result.files)
        what = f"none of its {total} rows is of the wanted relations" if total else "it has no rows"
        raise BatchRejected("empty_batch", f"{what}; submit a file with labelled rows")
    for index, row in enumerate(result.rows):
        row.index = index
    return result


def batch_manifest(store: ObjectStore, batch: BatchReference) -> tuple[Manifest, str]:
    """The manifest of a batch of the inbox, and the folder that its paths are relative to.

    Args:
        store: The object store.
        batch: A pending batch or a ledger claim. A single object gets a manifest of its own.

    Raises:
        BatchRejected: The key is unusable, or the manifest is another one than was recorded.
        NotFoundError: The batch is not in the inbox any more.
        StoreUnavailable: The store did not answer.
    """
    if not batch.keys:
        raise BatchRejected("invalid_name", "the object's key can not be used; rename the object")
    first = batch.manifest_key or batch.keys[0]
    problem = name_problem(first)
    if problem is not None:
        raise problem
    if batch.manifest_key is None:
        return _own_manifest(batch), str(PurePosixPath(first).parent)
    folder = str(PurePosixPath(first).parent)
    _, stream, name = folder.split("/", 2)
    data = store.read(first, limit=MAX_MANIFEST_BYTES)
    manifest = parse_manifest(data, stream=stream, batch=name)
    if manifest.batch_hash != batch.batch_hash:
        raise BatchRejected(
            "checksum_mismatch",
            "the manifest was changed after the batch was recorded; submit it as a new batch",
        )
    return manifest, folder


def _own_manifest(batch: BatchReference) -> Manifest:
    """A single object's bytes are its identity, so its hash is the batch's."""
    name = PurePosixPath(batch.keys[0]).name
    return Manifest(version=1, files=[ManifestFile(path=name, sha256=batch.batch_hash)])


def _file(
    store: ObjectStore,
    folder: str,
    file: ManifestFile,
    manifest: Manifest,
    wanted: frozenset[str] | None,
    settings: Settings,
    rows_before: int,
) -> tuple[FileFacts, list[RawRow]]:
    limits = settings.intake
    data = verified_bytes(store, folder, file, settings)
    selection = Selection(wanted, manifest.limits, limits.split_ratio)
    format, rows, total = parse_bytes(
        data,
        file.path,
        format=file.format,
        declared=file.split,
        selection=selection,
        settings=settings,
    )
    if file.rows is not None and file.rows != total:
        raise BatchRejected(
            "row_count_mismatch", f"{file.path} has {total} rows, its manifest says {file.rows}"
        )
    if rows_before + len(rows) > limits.max_rows:
        raise BatchRejected(
            "too_many_rows",
            f"the batch holds more than {limits.max_rows} rows (intake.max_rows); "
            "submit it in parts",
        )
    return FileFacts(file.path, file.sha256, len(data), format, total, len(rows)), rows


def verified_bytes(
    store: ObjectStore, folder: str, file: ManifestFile, settings: Settings
) -> bytes:
    """A file of a batch as it is stored, once it is known to be the one that the manifest lists.

    Raises:
        BatchRejected: It is missing, too large, or another one.
        StoreUnavailable: The store did not answer.
    """
    try:
        data = store.read(f"{folder}/{file.path}", limit=settings.intake.max_object_bytes)
    except NotFoundError as error:
        raise BatchRejected(
            "manifest_missing_file", f"{file.path} is not in {folder}; upload it and submit again"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256 or (file.bytes is not None and file.bytes != len(data)):
        raise BatchRejected(
            "checksum_mismatch",
            f"{file.path} has {len(data)} bytes with sha256 {digest[:12]}…, expected "
            f"{file.sha256[:12]}…; upload it again",
        )
    return data


def parse_bytes(
    data: bytes,
    name: str,
    *,
    format: str | None,
    declared: Split | None,
    selection: Selection,
    settings: Settings,
) -> tuple[str, list[RawRow], int]:
    """Unpack and parse one file; see :func:`cfcre.intake.formats.parse_rows`.

    Raises:
        BatchRejected: The file can not be unpacked or parsed.
    """
    limits = settings.intake
    content = decompress(
        data,
        name,
        max_bytes=limits.max_decompressed_bytes,
        max_ratio=limits.max_decompression_ratio,
    )
    return parse_rows(
        content,
        name,
        format=format,
        declared=declared,
        selection=selection,
        max_rows=limits.max_rows,
        max_bytes=limits.max_decompressed_bytes,
    )
