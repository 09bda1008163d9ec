"""Batch file formats: recognised by content and name, or named by the user; never guessed.

A format is taken when content and name leave exactly one; otherwise the batch is rejected with
``unknown_format`` or ``ambiguous_format`` and the message says how to name one.
"""

from __future__ import annotations

import codecs
from contextlib import suppress
from typing import Any

from cfcre.data.schema import Split
from cfcre.errors import BatchRejected, ConfigurationError
from cfcre.intake.formats import documents, jsonl, semeval, tables
from cfcre.intake.formats.base import (
    Limits,
    RowBuilder,
    Selection,
    decode_document,
    parse_json,
)
from cfcre.intake.rows import RawRow

__all__ = ["FORMATS", "Limits", "Selection", "check_format", "parse_rows"]

FORMATS: tuple[str, ...] = ("jsonl", "fewrel", "tacred", "semeval", "spert", "csv", "parquet")

_BY_EXTENSION: dict[str, tuple[str, ...]] = {
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".csv": ("csv",),
    ".parquet": ("parquet",),
    ".pq": ("parquet",),
    ".json": ("fewrel", "tacred", "spert", "jsonl"),
    ".txt": ("semeval",),
}
# For these the name alone says how to read, so that content too broken to be recognised is still
# read row by row and every bad row gets its own reason.
_SUFFICIENT = {".jsonl", ".ndjson", ".csv", ".parquet", ".pq"}
_DOCUMENTS = {
    "fewrel": documents.parse_fewrel,
    "tacred": documents.parse_tacred,
    "spert": documents.parse_spert,
}


def check_format(name: str | None) -> str | None:
    """Return the format's name if there is such a format.

    Raises:
        ConfigurationError: There is none.
    """
    if name is not None and name not in FORMATS:
        raise ConfigurationError(f"format {name!r}; accepted: {', '.join(FORMATS)}")
    return name


def parse_rows(
    data: bytes,
    file: str,
    *,
    format: str | None,
    declared: Split | None,
    selection: Selection,
    max_rows: int,
    max_bytes: int,
) -> tuple[str, list[RawRow], int]:
    """Read one file.

    Args:
        data: Its content, unpacked.
        file: Its name, for recognition and for the rows' sources.
        format: One of :data:`FORMATS`, or None to recognise it.
        declared: Split of the whole file.
        selection: Which rows are wanted.
        max_rows: Most rows it may hold.
        max_bytes: Most bytes a compressed column format may unpack to.

    Returns:
        The format, the rows taken (``index`` counts within the file), and the number of rows in
        the file.

    Raises:
        BatchRejected: ``unknown_format``, ``ambiguous_format``, ``unreadable_file``,
            ``too_many_rows`` or ``decompressed_too_large``.
    """
    rows = RowBuilder(file, declared, selection, max_rows)
    document: Any = None
    if format is None:
        format, document = _recognise(data, file)
    if format in _DOCUMENTS:
        if document is None:
            document = _document(data, file)
        _DOCUMENTS[format](document, rows)
    elif format == "jsonl":
        jsonl.parse(data, rows)
    elif format == "semeval":
        semeval.parse(data, rows)
    elif format == "csv":
        tables.parse_csv(data, rows)
    else:
        tables.parse_parquet(data, rows, max_bytes=max_bytes, max_rows=max_rows)
    return format, rows.rows, rows.total


def _document(data: bytes, file: str) -> Any:
    try:
        return parse_json(decode_document(data, file))
    except ValueError as error:
        raise BatchRejected("unreadable_file", f"{file} is not JSON: {error}") from error


def _recognise(data: bytes, file: str) -> tuple[str, Any]:
    name = file.lower().removesuffix(".gz")
    extension = name[name.rfind(".") :] if "." in name else ""
    by_name = _BY_EXTENSION.get(extension, ())
    by_content, document = _by_content(data, file, extension)
    if not by_content:
        if extension in _SUFFICIENT:
            return by_name[0], None
        raise BatchRejected(
            "unknown_format",
            f"{file}: neither its content nor its name shows a format; name one of "
            f"{', '.join(FORMATS)} with --format",
        )
    candidates = [f for f in by_content if f in by_name] if by_name else by_content
    if not candidates:
        # Content and name contradict each other.
        candidates = sorted({*by_content, *by_name})
    if len(candidates) > 1:
        raise BatchRejected(
            "ambiguous_format",
            f"{file} can be read as {' or as '.join(candidates)}; name one with --format",
        )
    return candidates[0], document


def _by_content(data: bytes, file: str, extension: str) -> tuple[list[str], Any]:
    """Formats the content can be, and the JSON document where it was parsed on the way."""
    if data.startswith(tables.PARQUET_MAGIC):
        return ["parquet"], None
    if semeval.matches(data):
        return ["semeval"], None
    first, _, rest = data.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")
    if first.startswith((b"{", b"[")):
        with suppress(ValueError):
            line = parse_json(first.decode("utf-8"))
            if jsonl.is_row(line):
                return ["jsonl"], None
            if not rest.strip():  # the document is one line: parse it once
                return documents.matches(line), line
        try:
            document = _document(data, file)
        except BatchRejected:
            if extension == ".json":
                raise  # "unreadable, at line 7" says more than "unknown"
            return [], None
        return documents.matches(document), document
    if tables.matches_csv(data):
        return ["csv"], None
    return [], None
