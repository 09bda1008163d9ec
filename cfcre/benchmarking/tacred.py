"""TACRED: 40 relations, ten tasks of four, from the user's own copy of LDC2018T24.

TACRED is licensed by the LDC and never part of this project. The folder holds the release's
``train.json``, ``dev.json`` and ``test.json``. Continual relation extraction does not use its
split: the rows of all three files are put together, ``no_relation`` and the rarest relation are
left out, each relation's rows are shuffled by the order's seed, and the first fifth, at most 40,
are test rows, the next 320 training rows. Source: the code of RP-CRE and CRL, which by an
off-by-one keeps 41.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfcre.benchmarking.dataset import HeldOut, Rows
from cfcre.benchmarking.orders import order_seed
from cfcre.benchmarking.reading import Overlap, find_file, read_json_file, token_row
from cfcre.benchmarking.relation_lists import TACRED_LEFT_OUT, TACRED_RELATIONS
from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError, DataError

__all__ = ["TACRED_COUNTS", "Tacred"]

#: Rows of the files of LDC2018T24.
TACRED_COUNTS: Mapping[str, int] = {"train.json": 68_124, "dev.json": 22_631, "test.json": 15_509}

_MOST_TRAIN, _MOST_HELD_OUT = 320, 40


class Tacred:
    """The user's own copy of TACRED.

    Args:
        folder: Holds the three files.
        counts: Rows that each file must have; None does not look.

    Raises:
        ConfigurationError: A file is missing.
        DataError: The files are not those of LDC2018T24.
    """

    name = "tacred"
    per_task = 4
    relations: tuple[str, ...] = TACRED_RELATIONS

    def __init__(self, folder: Path, counts: Mapping[str, int] | None = TACRED_COUNTS) -> None:
        self.files: dict[str, str] = {}
        self._rows: dict[str, list[RelationExample]] = {r: [] for r in self.relations}
        left_out = 0
        for name in TACRED_COUNTS:
            path = find_file(folder, name)
            if path is None:
                raise ConfigurationError(
                    f"{folder} has no {name}; --data takes the folder of LDC2018T24's JSON files "
                    f"{', '.join(TACRED_COUNTS)} (TACRED is licensed by the LDC)"
                )
            data, self.files[path.name] = read_json_file(path)
            left_out += self._add(data, name, counts[name] if counts else None)
        few = [r for r, rows in self._rows.items() if len(rows) < 5]
        if few:
            raise DataError(
                f"tacred: {len(few)} relations have fewer than 5 rows, first {few[0]!r}; the files "
                "are not the whole of LDC2018T24"
            )
        self.notes: Sequence[str] = (
            "Split rule of the literature: per relation the first fifth of the shuffled rows, at "
            "most 40, for test, the next 320 for training; shuffled by the order's seed.",
            "Validation rows are, by the same rule, the first fifth of what test rows leave; with "
            "them, training starts after them.",
            *([f"{left_out} rows whose head and tail overlap are left out."] if left_out else []),
        )

    def rows(self, order: int, held_out: HeldOut) -> Rows:
        """The literature's split for an order; the test rows are in no other part."""
        seed = order_seed(order)
        train: dict[str, list[RelationExample]] = {}
        held: dict[str, list[RelationExample]] = {}
        for relation in self.relations:
            rows = list(self._rows[relation])
            random.Random(seed).shuffle(rows)
            test, rest = _cut(rows)
            held[relation] = test
            if held_out == "validation":
                held[relation], rest = _cut(rest)
            train[relation] = rest[:_MOST_TRAIN]
        return Rows(train, held)

    def _add(self, data: Any, name: str, count: int | None) -> int:
        """Take the rows of a file; returns how many had to be left out."""
        if not isinstance(data, list):
            raise DataError(f"{name} is not TACRED: it must be a list of rows")
        if count is not None and len(data) != count:
            raise DataError(
                f"{name} has {len(data)} rows, that of LDC2018T24 has {count}; give the whole, "
                "unchanged release"
            )
        left_out = 0
        for number, row in enumerate(data):
            where = f"{name}: row {number}"
            try:
                relation = row["relation"]
                # TACRED's ends are inclusive.
                head = (row["subj_start"], row["subj_end"] + 1)
                tail = (row["obj_start"], row["obj_end"] + 1)
                tokens, identity = row["token"], str(row.get("id", ""))
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{where} is not a row of TACRED: {error!r}") from error
            if relation in TACRED_LEFT_OUT:
                continue
            if relation not in self._rows:
                raise DataError(
                    f"{where}: {relation!r} is not a relation of TACRED; Re-TACRED, whose labels "
                    "differ, can be given as a folder of rows instead"
                )
            try:
                example = token_row(tokens, head, tail, relation, where, identity)
            except Overlap:
                left_out += 1
                continue
            self._rows[relation].append(example)
        return left_out


def _cut(rows: list[RelationExample]) -> tuple[list[RelationExample], list[RelationExample]]:
    """The first fifth of the rows, at most 40 and at least one, and the rest."""
    size = min(max(len(rows) // 5, 1), _MOST_HELD_OUT)
    return rows[:size], rows[size:]
