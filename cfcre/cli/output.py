"""Tables and numbers for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["number", "print_json", "printable", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned by width; cells that read as numbers stand at the right."""
    texts = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [bool(texts) and all(_numeric(row[i]) for row in texts) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(header)), line(["-" * w for w in widths]), *map(line, texts)])


def number(value: object, digits: int = 3) -> str:
    """A number with so many digits; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"


def print_json(data: Any) -> None:
    """One JSON document on the standard output."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def printable(text: str) -> str:
    """Text for one line of a terminal: control characters and lone surrogates become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _numeric(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).lstrip("-").isdigit()
