"""The user's own rows: JSON Lines in the product's row form, in one file or a folder.

A row is ``{"text", "head": {"start", "end"}, "tail": {…}, "relation"}`` or ``{"tokens", "head":
[start, end], "tail": […], "relation"}``, ends exclusive. Rows of a file called ``train``,
``validation``, ``val``, ``dev`` or ``test``, and rows with a field ``split``, keep that split;
others are split 3:1:1 by a hash of their content. The other formats that a batch may have are not
read here: a benchmark is comparable only on rows that somebody has looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfcre.benchmarking.dataset import HeldOut, Rows
from cfcre.benchmarking.reading import parse_json, read_bytes, token_row
from cfcre.data.schema import SPLITS, RelationExample, Span, Split
from cfcre.data.splits import assign_split
from cfcre.errors import ConfigurationError, DataError

__all__ = ["OwnRows"]

_SUFFIXES = (".jsonl", ".jsonl.gz")
_SPLIT_OF: Mapping[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
#: Tasks that the relations make, where the user does not say how many make one.
_TASKS = 10


class OwnRows:
    """Rows of the user's own.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` file, or a folder that holds some.

    Raises:
        ConfigurationError: There is no such file.
        DataError: A row is wrong, or one sentence has two relations.
    """

    def __init__(self, path: Path) -> None:
        files = [path] if path.is_file() else sorted(path.glob("*.jsonl*"))
        files = [f for f in files if f.name.endswith(_SUFFIXES) and f.is_file()]
        if not files:
            raise ConfigurationError(
                f"{path} holds no rows; give a file that ends in .jsonl or .jsonl.gz, or a folder "
                "of such files"
            )
        self.name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        self.files: dict[str, str] = {}
        self._parts: dict[Split, dict[str, list[RelationExample]]] = {s: {} for s in SPLITS}
        self._seen: dict[str, RelationExample] = {}
        repeated = sum(self._add(file) for file in files)
        self.relations: tuple[str, ...] = tuple(sorted(self._parts["train"]))
        self.per_task = max(1, -(-len(self.relations) // _TASKS))
        self.notes: Sequence[str] = (
            "Relations arrive in the literature's orders over their sorted names.",
            *([f"{repeated} repeated rows are left out."] if repeated else []),
        )

    def rows(self, order: int, held_out: HeldOut) -> Rows:
        """The same rows for each order."""
        return Rows(self._parts["train"], self._parts[held_out])

    def _add(self, file: Path) -> int:
        """Take the rows of a file; returns how many were there before."""
        raw, self.files[file.name] = read_bytes(file)
        declared = _SPLIT_OF.get(file.name.split(".")[0])
        repeated = 0
        # Not splitlines(): it also breaks at separators that a text may hold.
        for number, line in enumerate(raw.split(b"\n"), start=1):
            if not line.strip():
                continue
            where = f"{file.name}: line {number}"
            example = assign_split(_example(parse_json(line, where), where, declared))
            before = self._seen.setdefault(example.input_key, example)
            if before is not example:
                if before.relation != example.relation:
                    raise DataError(
                        f"{where}: the same sentence and spans were {before.relation!r} before and "
                        f"are {example.relation!r} here; keep one of the two"
                    )
                repeated += 1
                continue
            split = example.split or "train"
            self._parts[split].setdefault(example.relation, []).append(example)
        return repeated


def _example(row: Any, where: str, declared: Split | None) -> RelationExample:
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is not a row: it must be an object")
    relation, split = row.get("relation"), row.get("split", declared)
    if not isinstance(relation, str) or not relation.strip():
        raise DataError(f"{where}: the relation is missing")
    if split not in (None, *SPLITS):
        raise DataError(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
    if "tokens" in row:
        made = token_row(row["tokens"], row.get("head"), row.get("tail"), relation, where)
        return replace(made, split=split)
    text = row.get("text")
    if not isinstance(text, str):
        raise DataError(f"{where} has neither text nor tokens")
    head, tail = (_characters(row.get(name), len(text), where, name) for name in ("head", "tail"))
    if max(head.start, tail.start) < min(head.end, tail.end):
        raise DataError(f"{where}: head and tail overlap")
    return RelationExample(text, head, tail, relation, split=split)


def _characters(span: Any, size: int, where: str, name: str) -> Span:
    start, end = (span.get("start"), span.get("end")) if isinstance(span, Mapping) else (None, None)
    # type() and not isinstance(): true and false are integers to Python.
    if type(start) is int and type(end) is int and 0 <= start < end <= size:
        return Span(start, end)
    raise DataError(
        f"{where}: {name} is {span!r}; it must be start and end within the {size} characters, "
        "the end exclusive"
    )
