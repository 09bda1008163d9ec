"""What one demo relation is made of, and the meaning of the slots in its templates.

``{h}`` and ``{t}`` are the head and the tail and occur once in every template. The others stand for
entities and words that have no part in the relation: ``{p}`` ``{p2}`` people, ``{c}`` a city,
``{o}`` ``{o2}`` companies, ``{w}`` a work, ``{y}`` a year, ``{m}`` a month, ``{d}`` a date,
``{job}``, ``{kind}`` of a work, ``{prod}`` products, ``{money}``, ``{n}`` a count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cfcre.data.schema import Split

__all__ = ["DemoRelation", "EntityType"]

EntityType = Literal["person", "city", "company", "work"]


@dataclass(frozen=True, kw_only=True)
class DemoRelation:
    """A relation of the corpus.

    Attributes:
        name: Relation name, as in the rows.
        description: One sentence for the manifest.
        head: Entity type of the head.
        tail: Entity type of the tail.
        details: Clauses that often go with a sentence of this relation, whatever its template.
        train: Templates of training sentences, without the final full stop.
        validation: Templates of validation sentences.
        test: Templates of test sentences; in no other split.
    """

    name: str
    description: str
    head: EntityType
    tail: EntityType
    details: tuple[str, ...]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def templates(self, split: Split) -> tuple[str, ...]:
        """The templates of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]
