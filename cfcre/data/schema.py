"""The relation example: a sentence, a head span, a tail span and a relation.

One canonical form is used after a file is read: text with character offsets, ends exclusive.
Token rows are joined by single spaces and keep their token boundaries as character offsets, so no
information is lost and equal sentences compare equal however they were written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

__all__ = ["SPLITS", "RelationExample", "Span", "Split", "example_from_tokens"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Span(NamedTuple):
    """Characters ``[start, end)`` of a text."""

    start: int
    end: int


@dataclass(frozen=True)
class RelationExample:
    """One row: does ``relation`` hold from the head to the tail in this sentence?

    Attributes:
        text: The sentence.
        head: Characters of the head entity, end exclusive.
        tail: Characters of the tail entity, end exclusive; never overlaps the head.
        relation: Relation name; empty for a row to predict.
        id: Name of the row in its source, for people; never used to identify content.
        split: Declared split; None means "decide by hash".
    """

    text: str
    head: Span
    tail: Span
    relation: str = ""
    id: str = ""
    split: Split | None = None

    @property
    def head_text(self) -> str:
        """Surface form of the head."""
        return self.text[self.head.start : self.head.end]

    @property
    def tail_text(self) -> str:
        """Surface form of the tail."""
        return self.text[self.tail.start : self.tail.end]

    @property
    def head_first(self) -> bool:
        """Whether the head stands before the tail."""
        return self.head.start <= self.tail.start

    @cached_property
    def input_key(self) -> str:
        """SHA-256 over sentence and spans: what a model sees. Two labels for one key conflict."""
        return _digest([self.text, *self.head, *self.tail])

    @cached_property
    def content_key(self) -> str:
        """SHA-256 over sentence, spans and relation: equal rows are duplicates."""
        return _digest([self.text, *self.head, *self.tail, self.relation])

    def with_split(self, split: Split) -> RelationExample:
        """A copy in that split."""
        return replace(self, split=split)

    def to_json(self) -> dict[str, Any]:
        """The text form of the JSON Lines format."""
        data: dict[str, Any] = {
            "text": self.text,
            "head": {"start": self.head.start, "end": self.head.end},
            "tail": {"start": self.tail.start, "end": self.tail.end},
            "relation": self.relation,
        }
        if self.id:
            data["id"] = self.id
        if self.split:
            data["split"] = self.split
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RelationExample:
        """Read what :meth:`to_json` wrote. Outside data goes through ``cfcre.intake.formats``."""
        return cls(
            text=data["text"],
            head=Span(data["head"]["start"], data["head"]["end"]),
            tail=Span(data["tail"]["start"], data["tail"]["end"]),
            relation=data["relation"],
            id=data.get("id", ""),
            split=data.get("split"),
        )


def example_from_tokens(
    tokens: Sequence[str],
    head: tuple[int, int],
    tail: tuple[int, int],
    relation: str = "",
    *,
    id: str = "",
    split: Split | None = None,
) -> RelationExample:
    """Join tokens by single spaces and turn token spans (end exclusive) into character spans.

    Raises:
        IndexError: A span reaches outside the tokens or is empty.
    """
    starts: list[int] = []
    position = 0
    for token in tokens:
        starts.append(position)
        position += len(token) + 1

    def characters(span: tuple[int, int]) -> Span:
        first, last = span[0], span[1] - 1
        if not 0 <= first <= last < len(tokens):
            raise IndexError(f"token span {list(span)} of {len(tokens)} tokens")
        return Span(starts[first], starts[last] + len(tokens[last]))

    return RelationExample(
        " ".join(tokens), characters(head), characters(tail), relation, id=id, split=split
    )


def _digest(parts: list[Any]) -> str:
    # surrogatepass: a lone surrogate is quarantined later with a reason; it must not crash here.
    encoded = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(encoded.encode("utf-8", "surrogatepass")).hexdigest()
