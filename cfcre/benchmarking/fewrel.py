"""FewRel: 80 relations, ten tasks of eight, from its JSON files.

The folder holds ``train.json``, ``val.json`` and, for scoring on test rows, ``test.json``, each
plain or gzipped: an object from relation to rows ``{"tokens", "h", "t"}``. Published results use
420 rows a relation for training, 140 for validation and 140 for test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfcre.benchmarking.dataset import HeldOut, Rows
from cfcre.benchmarking.reading import Overlap, find_file, read_json_file, token_row
from cfcre.benchmarking.relation_lists import FEWREL_RELATIONS
from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError, DataError

__all__ = ["FewRel"]

_FILES: dict[str, tuple[str, ...]] = {
    "train": ("train.json",),
    "validation": ("val.json", "validation.json"),
    "test": ("test.json",),
}

ByRelation = dict[str, list[RelationExample]]


class FewRel:
    """FewRel's JSON files.

    Relations are taken in the literature's order where the files hold the 80 public ones; other
    relations, for instance a part or a corpus in the same format, are taken in sorted order.

    Args:
        folder: Holds the files.

    Raises:
        ConfigurationError: The folder lacks the training file.
        DataError: A row is not one of FewRel.
    """

    name = "fewrel"
    per_task = 8

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, str] = {}
        self._splits: dict[str, ByRelation] = {}
        self._overlapping: dict[str, int] = {}
        train = self._split("train")
        self.relations: tuple[str, ...] = (
            FEWREL_RELATIONS if set(train) == set(FEWREL_RELATIONS) else tuple(sorted(train))
        )

    @property
    def notes(self) -> Sequence[str]:
        """What is not as in the literature."""
        found = [
            f"{name}: {n} rows whose head and tail overlap are left out."
            for name, n in self._overlapping.items()
            if n
        ]
        if self.relations != FEWREL_RELATIONS:
            found.append(
                f"{len(self.relations)} relations that are not FewRel's 80: the task orders are "
                "not those of the literature."
            )
        return found

    def rows(self, order: int, held_out: HeldOut) -> Rows:
        """Training rows and the rows of ``val.json`` or ``test.json``; the same for each order.

        Raises:
            ConfigurationError: The folder has no such file.
            DataError: The two files do not have the same relations.
        """
        train, held = self._split("train"), self._split(held_out)
        if set(train) != set(held):
            odd = sorted(set(train) ^ set(held))
            raise DataError(
                f"{self.name}: {len(odd)} relations are in only one of the files for training and "
                f"{held_out}: {', '.join(odd[:5])}"
            )
        return Rows(train, held)

    def _split(self, split: str) -> ByRelation:
        if split not in self._splits:
            path = find_file(self._folder, *_FILES[split])
            if path is None:
                other = " or use --eval validation" if split == "test" else ""
                raise ConfigurationError(
                    f"{self._folder} has no {_FILES[split][0]} or {_FILES[split][0]}.gz, which "
                    f"holds FewRel's {split} rows; put it there{other}"
                )
            data, self.files[path.name] = read_json_file(path)
            self._splits[split], self._overlapping[path.name] = _rows(data, path.name)
        return self._splits[split]


def _rows(data: Any, name: str) -> tuple[ByRelation, int]:
    """Rows by relation, and how many had to be left out."""
    if not isinstance(data, Mapping) or not data:
        raise DataError(f"{name} is not FewRel: it must be an object from relation to rows")
    result: ByRelation = {}
    left_out = 0
    for relation, rows in data.items():
        if not isinstance(rows, list) or not relation:
            raise DataError(f"{name} is not FewRel: relation {relation!r} has no list of rows")
        result[relation] = []
        for number, row in enumerate(rows):
            try:
                example = _example(row, relation, f"{name}: {relation} row {number}")
            except Overlap:
                left_out += 1
                continue
            result[relation].append(example)
    return result, left_out


def _example(row: Any, relation: str, where: str) -> RelationExample:
    try:
        head, tail = _span(row["h"]), _span(row["t"])
        tokens = row["tokens"]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f'{where} is not {{"tokens", "h", "t"}} as in FewRel: {error!r}') from error
    return token_row(tokens, head, tail, relation, where)


def _span(entity: Any) -> tuple[int, int]:
    """First mention of an entity ``[name, id, [[token, …], …]]``."""
    mention = [int(i) for i in entity[2][0]]
    return min(mention), max(mention) + 1
