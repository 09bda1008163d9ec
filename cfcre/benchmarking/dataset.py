"""What a benchmark's data is: rows by relation, the relations' order, and where both come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from cfcre.benchmarking.orders import order_seed, task_relations
from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError, DataError

__all__ = ["BenchmarkTask", "Dataset", "HeldOut", "Rows", "Selection", "Stream", "make_stream"]

#: The held-out rows that models are scored on.
HeldOut = Literal["validation", "test"]
Examples = tuple[RelationExample, ...]


@dataclass(frozen=True)
class Rows:
    """Rows of one task order, by relation.

    Attributes:
        train: Rows to learn.
        held_out: Rows to score.
    """

    train: Mapping[str, Sequence[RelationExample]]
    held_out: Mapping[str, Sequence[RelationExample]]


class Dataset(Protocol):
    """A data set that was read and checked."""

    @property
    def name(self) -> str:
        """For people and file names."""

    @property
    def relations(self) -> tuple[str, ...]:
        """All relations in the data set's own order."""

    @property
    def per_task(self) -> int:
        """Relations of a task, where the user names no other number."""

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of every file that was read, by name."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of results must know about these data."""

    def rows(self, order: int, held_out: HeldOut) -> Rows:
        """The rows of a task order; most data sets have the same for each.

        Raises:
            ConfigurationError: There are no such held-out rows.
        """


@dataclass(frozen=True)
class Selection:
    """Which part of a data set is used.

    Attributes:
        held_out: ``validation`` or ``test``.
        train_rows: The first so many training rows of each relation; None for all.
        first_held_out: Held-out rows of each relation from this one on, counted from 0.
        stop_held_out: And before this one; None for all.
        tasks: The first so many tasks; None for all.
        per_task: Relations of a task; None for the data set's own number.
    """

    held_out: HeldOut = "validation"
    train_rows: int | None = None
    first_held_out: int = 0
    stop_held_out: int | None = None
    tasks: int | None = None
    per_task: int | None = None


@dataclass(frozen=True)
class BenchmarkTask:
    """One task of a stream.

    Attributes:
        number: From 1.
        relations: What arrives.
        train: D_k.
        held_out: Rows that are scored after this task and every later one.
    """

    number: int
    relations: tuple[str, ...]
    train: Examples
    held_out: Examples


@dataclass(frozen=True)
class Stream:
    """The tasks of one order.

    Attributes:
        dataset: Name of the data set.
        order: Number of the task order.
        tasks: In order of arrival.
        overlap: Held-out rows whose sentence and spans are also a training row.
    """

    dataset: str
    order: int
    tasks: tuple[BenchmarkTask, ...]
    overlap: int = field(compare=False, default=0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of all rows, task by task, in order."""
        state = hashlib.sha256()
        for task in self.tasks:
            for part in (task.train, task.held_out):
                for example in part:
                    state.update(example.content_key.encode("ascii"))
                state.update(b"|")
        return state.hexdigest()


def make_stream(dataset: Dataset, order: int, selection: Selection) -> Stream:
    """The tasks of a data set in one of the literature's orders.

    Raises:
        ConfigurationError: More tasks were asked for than there are, or there is no such order.
        DataError: A relation has no row to learn or none to score.
    """
    per_task = selection.per_task or dataset.per_task
    names = task_relations(dataset.relations, order_seed(order), per_task)
    if selection.tasks is not None and selection.tasks > len(names):
        raise ConfigurationError(
            f"{dataset.name} has {len(dataset.relations)} relations, which are {len(names)} tasks "
            f"of {per_task}; asked for {selection.tasks}"
        )
    rows = dataset.rows(order, selection.held_out)
    train = {r: tuple(v)[: selection.train_rows] for r, v in rows.train.items()}
    held = {
        r: tuple(v)[selection.first_held_out : selection.stop_held_out]
        for r, v in rows.held_out.items()
    }
    tasks = []
    for number, relations in enumerate(names[: selection.tasks], start=1):
        for relation in relations:
            for part, what in ((train, "training"), (held, selection.held_out)):
                if not part.get(relation):
                    raise DataError(
                        f"{dataset.name}: relation {relation!r} has no {what} row in the part "
                        "that was asked for; take more rows of each relation"
                    )
        tasks.append(
            BenchmarkTask(
                number,
                tuple(relations),
                tuple(e for r in relations for e in train[r]),
                tuple(e for r in relations for e in held[r]),
            )
        )
    seen = {e.input_key for t in tasks for e in t.train}
    overlap = sum(e.input_key in seen for t in tasks for e in t.held_out)
    return Stream(dataset.name, order, tuple(tasks), overlap)
