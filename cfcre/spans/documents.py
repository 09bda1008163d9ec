"""Documents with entities and relations, and the types these can have.

Spans count words here, ends exclusive. Whatever a document was written as, its words keep their
places in its text, so that a span has character offsets at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cfcre.data.files import read_json
from cfcre.errors import DataError
from cfcre.spans.words import split_words

__all__ = ["Document", "Entity", "LabelTypes", "Relation"]


class Entity(NamedTuple):
    """Words ``[start, end)`` of a document and what they are."""

    start: int
    end: int
    type: str


class Relation(NamedTuple):
    """A relation from one entity of a document to another, by their places in its list."""

    head: int
    tail: int
    type: str


@dataclass(frozen=True)
class Document:
    """A sentence or a longer text as words.

    Attributes:
        words: The words, as given or as :func:`split_words` found them.
        entities: Labelled entities; empty in a document to predict.
        relations: Labelled relations.
        id: Name in its source (``orig_id``), for people.
        given_text: The text it was made from; None where it was given as words.
        given_offsets: Characters of each word in that text.
    """

    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    id: str = ""
    given_text: str | None = None
    given_offsets: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_text(cls, text: str, id: str = "") -> Document:
        """Divide a text into words."""
        offsets = tuple(split_words(text))
        words = tuple(text[start:end] for start, end in offsets)
        return cls(words, id=id, given_text=text, given_offsets=offsets)

    @classmethod
    def from_words(cls, words: Sequence[str], id: str = "") -> Document:
        """Take words as they are."""
        return cls(tuple(words), id=id)

    @cached_property
    def text(self) -> str:
        """The text it was made from, or the words joined by single spaces."""
        return " ".join(self.words) if self.given_text is None else self.given_text

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Characters ``[start, end)`` of each word in :attr:`text`."""
        if self.given_text is not None:
            return self.given_offsets
        found, position = [], 0
        for word in self.words:
            found.append((position, position + len(word)))
            position += len(word) + 1
        return tuple(found)

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """Characters of the words ``[start, end)``."""
        return self.offsets[start][0], self.offsets[end - 1][1]


@dataclass(frozen=True)
class LabelTypes:
    """Entity and relation types, in the order that gives them their numbers.

    Attributes:
        entities: Names; number 0 of the classifier is "no entity", so the first name is 1.
        relations: Names, counted from 0.
        symmetric: Relation types that hold both ways. Such a relation is kept once, from the
            entity that stands first.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    symmetric: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> LabelTypes:
        """Read SpERT's types file: names as keys under ``entities`` and ``relations``.

        Raises:
            DataError: The file is unreadable or has another form.
        """
        return cls.from_json(read_json(path), path.name)

    @classmethod
    def from_json(cls, data: Any, source: str) -> LabelTypes:
        """The same from a parsed document.

        Raises:
            DataError: The document has another form.
        """
        parts: dict[str, dict[str, Any]] = {}
        for part in ("entities", "relations"):
            found = data.get(part) if isinstance(data, dict) else None
            if not isinstance(found, dict) or not all(
                isinstance(about, dict) and name.strip() for name, about in found.items()
            ):
                raise DataError(
                    f"{source}: {part!r} must be an object of type names, as in "
                    '{"entities": {"Peop": {}}, "relations": {"Kill": {"symmetric": false}}}'
                )
            parts[part] = found
        if not parts["entities"]:
            raise DataError(f"{source}: there is no entity type")
        symmetric = set()
        for name, about in parts["relations"].items():
            flag = about.get("symmetric", False)
            if not isinstance(flag, bool):
                raise DataError(f"{source}: 'symmetric' of {name!r} must be true or false")
            if flag:
                symmetric.add(name)
        return cls(tuple(parts["entities"]), tuple(parts["relations"]), frozenset(symmetric))

    @classmethod
    def of(cls, documents: Iterable[Document]) -> LabelTypes:
        """The types that occur, sorted by name, none of them symmetric."""
        entities: set[str] = set()
        relations: set[str] = set()
        for document in documents:
            entities.update(e.type for e in document.entities)
            relations.update(r.type for r in document.relations)
        return cls(tuple(sorted(entities)), tuple(sorted(relations)))

    def to_json(self) -> dict[str, Any]:
        """SpERT's form."""
        return {
            "entities": {name: {} for name in self.entities},
            "relations": {name: {"symmetric": name in self.symmetric} for name in self.relations},
        }

    @cached_property
    def entity_number(self) -> dict[str, int]:
        """Name to number, counted from 1."""
        return {name: i for i, name in enumerate(self.entities, start=1)}

    @cached_property
    def relation_number(self) -> dict[str, int]:
        """Name to number, counted from 0."""
        return {name: i for i, name in enumerate(self.relations)}
