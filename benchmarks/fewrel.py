"""FewRel as a stream of tasks, for benchmarks: reading and slicing only."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from cfcre.data.schema import RelationExample, example_from_tokens

__all__ = ["load_rows", "task_order"]


def load_rows(path: Path, start: int, stop: int) -> dict[str, list[RelationExample]]:
    """Rows ``[start, stop)`` of each relation of a FewRel JSON file."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        data = json.load(stream)
    return {
        relation: [_example(row, relation) for row in rows[start:stop]]
        for relation, rows in data.items()
    }


def task_order(folder: Path, order: int) -> list[list[str]]:
    """Relations of each task in one of the literature's five orders."""
    orders = json.loads((folder / "task_orders.json").read_text(encoding="utf-8"))
    tasks: list[list[str]] = orders["orders"][order]
    return tasks


def _example(row: dict[str, list[object]], relation: str) -> RelationExample:
    def span(entity: list[object]) -> tuple[int, int]:
        mention: list[int] = entity[2][0]  # type: ignore[index]
        return mention[0], mention[-1] + 1

    return example_from_tokens(row["tokens"], span(row["h"]), span(row["t"]), relation)  # type: ignore[arg-type]
