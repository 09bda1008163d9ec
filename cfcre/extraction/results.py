"""What an extractor gives back: plain, frozen objects with character offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ExtractedEntity", "ExtractedRelation", "Extraction", "Source"]

Source = Literal["spans", "relations"]
"""Which model found a relation: the span model, or the relation model."""


@dataclass(frozen=True)
class ExtractedEntity:
    """An entity.

    Attributes:
        start: First character in :attr:`Extraction.text`.
        end: Last character, exclusive.
        type: Its type.
        score: Probability of that type, in (0, 1]; the best of the windows it was found in.
        text: Its surface form.
    """

    start: int
    end: int
    type: str
    score: float
    text: str


@dataclass(frozen=True)
class ExtractedRelation:
    """A relation from one entity to another.

    Attributes:
        head: Place of the head in :attr:`Extraction.entities`.
        tail: Place of the tail.
        type: The relation.
        score: What was compared with the threshold: a probability from the span model, a cosine in
            [-1, 1] from the relation model, less the penalty of types that were never seen so.
        source: The model that found it.
    """

    head: int
    tail: int
    type: str
    score: float
    source: Source


@dataclass(frozen=True)
class Extraction:
    """What was found in one text.

    Attributes:
        text: The text as given; offsets count its characters.
        entities: By start and end.
        relations: By head, tail and type.
        windows: Windows that the text was read in; 0 for a text without words.
        unread: Characters ``[start, end)`` of words that are longer than a window by themselves.
    """

    text: str
    entities: tuple[ExtractedEntity, ...]
    relations: tuple[ExtractedRelation, ...]
    windows: int
    unread: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; :meth:`from_json` reads them again."""
        return {
            "text": self.text,
            "entities": [
                {"start": e.start, "end": e.end, "type": e.type, "score": e.score, "text": e.text}
                for e in self.entities
            ],
            "relations": [
                {"head": r.head, "tail": r.tail, "type": r.type, "score": r.score}
                | {"source": r.source}
                for r in self.relations
            ],
            "windows": self.windows,
            "unread": [list(span) for span in self.unread],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Extraction:
        """Read what :meth:`to_json` gave."""
        return cls(
            data["text"],
            tuple(ExtractedEntity(**entity) for entity in data["entities"]),
            tuple(ExtractedRelation(**relation) for relation in data["relations"]),
            data["windows"],
            tuple((start, end) for start, end in data["unread"]),
        )
