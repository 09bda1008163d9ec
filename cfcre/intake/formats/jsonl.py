"""JSON Lines: one row a line, in token form or in text form."""

from __future__ import annotations

import codecs
from typing import Any

from cfcre.intake.formats.base import MISSING, RowBuilder, parse_json

__all__ = ["add_object", "is_row", "parse"]


def is_row(value: Any) -> bool:
    """Whether the content of a line is a row of this format, as far as its fields go."""
    return (
        isinstance(value, dict)
        and {"head", "tail"} <= value.keys()
        and ("text" in value or "tokens" in value)
    )


def parse(data: bytes, rows: RowBuilder) -> None:
    r"""Read every line; a line that can not be read becomes a bad row.

    Lines end at ``\n`` alone: U+2028 and the like are characters of a text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        rows.unreadable("the file is UTF-16; convert it to UTF-8")
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if line.strip():
            _line(line, f":{number}", rows)


def _line(line: bytes, place: str, rows: RowBuilder) -> None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raw = line.decode("utf-8", "backslashreplace")
        rows.bad(
            place,
            raw,
            "invalid_encoding",
            f"byte {error.start} of the line (0x{line[error.start]:02x}) is not UTF-8",
        )
        return
    try:
        row = parse_json(text)
    except ValueError as error:
        rows.bad(place, text, "invalid_json", f"the line is not JSON: {error}")
        return
    if not isinstance(row, dict):
        rows.bad(place, row, "not_an_object", f"the line holds {type(row).__name__}, not an object")
        return
    add_object(row, place, rows)


def add_object(row: dict[str, Any], place: str, rows: RowBuilder) -> None:
    """Add a row given as the object of this format."""
    rows.add(
        place,
        row,
        relation=row.get("relation", MISSING),
        head=row.get("head", MISSING),
        tail=row.get("tail", MISSING),
        text=row.get("text", MISSING),
        tokens=row.get("tokens", MISSING),
        id=row.get("id", MISSING),
        split=row.get("split", MISSING),
    )
