"""Rows as they were read, the reasons a row can be refused for, and the raw-batch file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cfcre.data.files import write_bytes
from cfcre.data.schema import RelationExample
from cfcre.errors import DataError

__all__ = [
    "BATCH_REASONS",
    "ROW_REASONS",
    "FileFacts",
    "Problem",
    "RawBatch",
    "RawRow",
    "Reading",
    "json_line",
    "read_raw",
    "write_raw",
]

ROW_REASONS: tuple[str, ...] = (
    # What the row is.
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    # Where its entities are.
    "span_out_of_range",
    "span_empty",
    "span_inverted",
    "spans_overlap",
    # What its text holds.
    "lone_surrogate",
    "text_too_long",
    "too_long_for_encoder",
    # What it is labelled.
    "empty_relation",
    "no_relation_label",
    "invalid_relation_name",
    "invalid_split",
    # How it stands to other rows; rows refused above are not compared.
    "conflicting_label",
    "duplicate",
    "duplicate_of_earlier_test",
    "test_row_seen_in_training",
)
"""Stable codes, in order of precedence: a row that breaks several rules carries the first."""

BATCH_REASONS: tuple[str, ...] = (
    "invalid_name",
    "manifest_invalid",
    "manifest_key_outside",
    "manifest_missing_file",
    "sequence_conflict",
    "object_too_large",
    "checksum_mismatch",
    "truncated_gzip",
    "decompression_ratio",
    "decompressed_too_large",
    "unknown_format",
    "ambiguous_format",
    "unreadable_file",
    "row_count_mismatch",
    "too_many_rows",
    "empty_batch",
    "too_few_rows",
)
"""Stable codes for which a whole batch is rejected."""


class Problem(NamedTuple):
    """Why a row is refused: a code of :data:`ROW_REASONS` and a line for the data engineer."""

    reason: str
    detail: str


class Reading(NamedTuple):
    """The spans as they were given, before they are trusted.

    Attributes:
        unit: ``token`` or ``character``; what the numbers count.
        length: Length of the sentence in that unit.
        head: Start and exclusive end as given.
        tail: The same of the tail.
        blank: How many of the two entities hold nothing but white space.
    """

    unit: str
    length: int
    head: tuple[int, int]
    tail: tuple[int, int]
    blank: int = 0


@dataclass
class RawRow:
    """One row of a batch, good or bad.

    Attributes:
        index: 0-based position in the batch.
        source: File and place in it, for example ``rows.jsonl:17``.
        raw: The row as given, JSON-able.
        example: The canonical row; None where text or spans could not be read. Only validation
            decides whether it is accepted.
        problem: What the reader found wrong with its form. None does not mean that it is good.
        reading: The spans as given, where they could be read.
        relation: The label as given, where it is text.
    """

    index: int
    source: str
    raw: Any
    example: RelationExample | None = None
    problem: Problem | None = None
    reading: Reading | None = None
    relation: str | None = None


@dataclass
class FileFacts:
    """One file of a batch, for lineage; ``taken`` rows are left after filter and limits."""

    path: str
    sha256: str
    bytes: int
    format: str
    rows: int
    taken: int


@dataclass
class RawBatch:
    """Everything that was read of a batch; rows that filter or limits left out are not in it."""

    stream: str
    batch_hash: str
    rows: list[RawRow]
    files: list[FileFacts] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)


def json_line(value: Any) -> bytes:
    """One line of JSON, readable where it can be, and valid whatever the value holds.

    Lone surrogates are written as escapes, since UTF-8 has no form for them; NaN and infinities
    become text, since JSON has no form for those.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value).encode("ascii") + b"\n"
    except (ValueError, TypeError):
        return json_line(_jsonable(value))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def write_raw(path: Path, batch: RawBatch) -> None:
    """Write a raw batch as JSON Lines, atomically: a header, then one line a row."""
    header = {
        "stream": batch.stream,
        "batch_hash": batch.batch_hash,
        "files": [vars(f) for f in batch.files],
        "descriptions": batch.descriptions,
    }
    lines = [json_line(header)]
    for row in batch.rows:
        line: dict[str, Any] = {"index": row.index, "source": row.source, "raw": row.raw}
        if row.example is not None:
            line["example"] = row.example.to_json()
        if row.problem is not None:
            line["problem"] = list(row.problem)
        if row.reading is not None:
            line["reading"] = list(row.reading)
        if row.relation is not None:
            line["relation"] = row.relation
        lines.append(json_line(line))
    write_bytes(path, b"".join(lines))


def read_raw(path: Path) -> RawBatch:
    """Read what :func:`write_raw` wrote.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        header, *lines = path.read_bytes().decode("utf-8").rstrip("\n").split("\n")
        facts = json.loads(header)
        return RawBatch(
            stream=facts["stream"],
            batch_hash=facts["batch_hash"],
            rows=[_row(json.loads(line)) for line in lines],
            files=[FileFacts(**f) for f in facts["files"]],
            descriptions=facts["descriptions"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read the raw batch in {path.name}: {error!r}") from error


def _row(line: dict[str, Any]) -> RawRow:
    reading = None
    if "reading" in line:
        unit, length, head, tail, blank = line["reading"]
        reading = Reading(unit, length, (head[0], head[1]), (tail[0], tail[1]), blank)
    return RawRow(
        index=line["index"],
        source=line["source"],
        raw=line["raw"],
        example=RelationExample.from_json(line["example"]) if "example" in line else None,
        problem=Problem(*line["problem"]) if "problem" in line else None,
        reading=reading,
        relation=line.get("relation"),
    )
