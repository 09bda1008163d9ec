"""Values from files that others wrote: strict JSON, spans, and how a bad value is shown.

One set of rules for every reader, of relation rows and of documents alike.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["as_span", "parse_json", "shown", "span_reason"]


def parse_json(text: str) -> Any:
    """Strict JSON: no NaN, no Infinity.

    Raises:
        ValueError: Not JSON, nested too deeply, or a number too long to hold.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_span(value: Any) -> tuple[int, int] | None:
    """Start and exclusive end, from a pair or from ``{"start": s, "end": e}``; None otherwise."""
    if isinstance(value, dict):
        value = (value.get("start"), value.get("end"))
    elif not isinstance(value, list | tuple) or len(value) != 2:
        return None
    start, end = value
    # type() and not isinstance(): true and false are ints in Python, but no offsets.
    return (start, end) if type(start) is int and type(end) is int else None


def span_reason(start: int, end: int, length: int) -> str | None:
    """Why a span can not be one of a sentence of ``length`` units; None where it can.

    Returns:
        ``span_out_of_range``, ``span_empty`` or ``span_inverted``, in this order of precedence.
    """
    if min(start, end) < 0 or max(start, end) > length:
        return "span_out_of_range"
    if start == end:
        return "span_empty"
    return "span_inverted" if start > end else None


def shown(value: Any) -> str:
    """A value for an error message, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
