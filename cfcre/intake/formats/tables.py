"""CSV and Parquet: columns ``text`` or ``tokens``, four span columns, ``relation``.

``id`` and ``split`` are optional, other columns are ignored. ``tokens`` is a JSON list in CSV and a
list or a JSON list in Parquet; it makes the span columns count tokens.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cfcre.errors import BatchRejected
from cfcre.intake.formats.base import MISSING, RowBuilder, decode_document, parse_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PARQUET_MAGIC", "matches_csv", "parse_csv", "parse_parquet"]

PARQUET_MAGIC = b"PAR1"
_SPANS = ("head_start", "head_end", "tail_start", "tail_end")
_COLUMNS = ("text", "tokens", *_SPANS, "relation", "id", "split")
_BATCH = 4096
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")


def matches_csv(data: bytes) -> bool:
    """Whether the first line is a header with the columns of this format."""
    line = data[:10_000].removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    try:
        header = next(csv.reader([line.decode("utf-8").rstrip("\r")]), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    return not _lacking(header)


def _lacking(columns: list[str]) -> list[str]:
    lacking = [name for name in (*_SPANS, "relation") if name not in columns]
    if "text" not in columns and "tokens" not in columns:
        lacking.insert(0, "text (or tokens)")
    return lacking


def parse_csv(data: bytes, rows: RowBuilder) -> None:
    """Read comma-separated values with a header line, quoted as RFC 4180 says."""
    decode_document(data.split(b"\n", 1)[0], rows.file)  # a header must be readable
    # Bytes that are not UTF-8 become lone surrogates here, so that only their row is refused.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    with _long_fields(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = next(reader, [])
            if lacking := _lacking(header):
                rows.unreadable(f"the header lacks {', '.join(lacking)}")
            if len(set(header)) != len(header):
                rows.unreadable("the header names a column twice")
            start = reader.line_num + 1
            for cells in reader:
                if cells:
                    _csv_row(header, cells, f":{start}", rows)
                start = reader.line_num + 1
        except csv.Error as error:
            rows.unreadable(f"line {reader.line_num} is not CSV: {error}")


@contextmanager
def _long_fields(longest: int) -> Iterator[None]:
    # The csv module's limit of 128 KiB a field is global; a longer text is a row problem here.
    before = csv.field_size_limit(max(longest, 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_row(header: list[str], cells: list[str], place: str, rows: RowBuilder) -> None:
    if any(not cell.isascii() and _undecoded(cell) for cell in cells):
        raw = [_escaped(cell) for cell in cells]
        rows.bad(place, raw, "invalid_encoding", "the row holds bytes that are not UTF-8")
        return
    if len(cells) > len(header):
        detail = f"{len(cells)} cells for {len(header)} columns; quote cells that hold a comma"
        rows.bad(place, cells, "wrong_type", detail)
        return
    raw_row = dict(zip(header, cells, strict=False))
    values: dict[str, Any] = {k: v for k, v in raw_row.items() if k in _COLUMNS}
    for name in _SPANS:
        value = values.get(name)
        if value is not None and value.strip() == "":
            del values[name]
        elif value is not None and _WHOLE.fullmatch(value):
            values[name] = int(value)
    for name in ("text", "tokens", "split", "id"):
        # CSV has no null: an empty cell is one.
        if values.get(name) == "":
            del values[name]
    _add(values, raw_row, place, rows)


def _escaped(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _undecoded(cell: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in cell)


def _add(values: dict[str, Any], raw: Any, place: str, rows: RowBuilder) -> None:
    tokens = values.get("tokens", MISSING)
    if isinstance(tokens, str):
        # Not a list: left as text, which the row builder refuses as a wrong type and shows.
        with suppress(ValueError):
            tokens = parse_json(tokens)
    rows.add(
        place,
        raw,
        relation=values.get("relation", MISSING),
        head=_span(values, "head"),
        tail=_span(values, "tail"),
        text=values.get("text", MISSING),
        tokens=tokens,
        id=values.get("id", MISSING),
        split=values.get("split", MISSING),
    )


def _span(values: dict[str, Any], name: str) -> Any:
    start, end = f"{name}_start", f"{name}_end"
    if start not in values or end not in values:
        return MISSING
    return (values[start], values[end])


def parse_parquet(data: bytes, rows: RowBuilder, *, max_bytes: int, max_rows: int) -> None:
    """Read a Parquet file in steps, so that its own compression is bounded too.

    Raises:
        BatchRejected: ``unreadable_file``, ``too_many_rows`` or ``decompressed_too_large``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = file.schema_arrow.names
        if lacking := _lacking(columns):
            rows.unreadable(f"lacks the columns {', '.join(lacking)}")
        if file.metadata.num_rows > max_rows:
            raise BatchRejected(
                "too_many_rows",
                f"{rows.file} holds {file.metadata.num_rows} rows; intake.max_rows is {max_rows}",
            )
        known = [name for name in _COLUMNS if name in columns]
        unpacked = done = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=known):
            unpacked += batch.nbytes
            if unpacked > max_bytes:
                raise BatchRejected(
                    "decompressed_too_large",
                    f"{rows.file} is larger than {max_bytes} bytes when unpacked "
                    "(intake.max_decompressed_bytes)",
                )
            for offset, values in enumerate(_records(batch)):
                _parquet_row(values, f"[{done + offset}]", rows)
            done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        rows.unreadable(f"not a readable Parquet file: {' '.join(str(error).split())[:300]}")


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = column.to_pylist()
        except UnicodeDecodeError:
            columns[name] = [_cell(value) for value in column]
    for position in range(batch.num_rows):
        yield {name: values[position] for name, values in columns.items()}


class _Undecoded(str):
    """A cell that is not UTF-8, shown with escapes."""


def _cell(value: pa.Scalar[Any]) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return _Undecoded(bytes(error.object).decode("utf-8", "backslashreplace"))


def _parquet_row(raw: dict[str, Any], place: str, rows: RowBuilder) -> None:
    bad = [name for name, value in raw.items() if isinstance(value, _Undecoded)]
    if bad:
        rows.bad(place, raw, "invalid_encoding", f"column {bad[0]!r} is not UTF-8")
        return
    values = {name: value for name, value in raw.items() if value is not None}
    for name in _SPANS:
        value = values.get(name)
        # pandas writes a column of whole numbers with gaps as floating point.
        if isinstance(value, float):
            if value != value:
                del values[name]
            elif value.is_integer():
                values[name] = int(value)
    _add(values, raw, place, rows)
