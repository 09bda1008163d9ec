"""Rows and stores for the intake tests."""

from __future__ import annotations

import json
from typing import Any


def row(text: str, head: str, tail: str, relation: str, **more: Any) -> dict[str, Any]:
    """A text-form row; the spans are found by searching, not by the code under test."""
    h, t = text.index(head), text.index(tail)
    return {
        "text": text,
        "head": {"start": h, "end": h + len(head)},
        "tail": {"start": t, "end": t + len(tail)},
        "relation": relation,
        **more,
    }


def good_rows(relation: str, count: int, split: str | None = "train") -> list[dict[str, Any]]:
    """Distinct rows of one relation."""
    rows = []
    for i in range(count):
        sentence = f"In {relation} number {i} the Company{i} belongs to Owner{i} ."
        extra = {"split": split} if split else {}
        rows.append(row(sentence, f"Company{i}", f"Owner{i}", relation, **extra))
    return rows


def lines(rows: list[Any]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
