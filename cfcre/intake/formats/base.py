"""What all formats share: selecting rows, and building a row from what a file says.

A reader hands over the fields it found; whether they are there, of the right type, and what they
mean as character spans is decided here, once for all formats.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, NoReturn

from cfcre.data.json_values import as_span, parse_json, shown
from cfcre.data.schema import SPLITS, RelationExample, Span, Split
from cfcre.data.splits import assign_split
from cfcre.errors import BatchRejected
from cfcre.intake.rows import Problem, RawRow, Reading

__all__ = ["MISSING", "Limits", "RowBuilder", "Selection", "decode_document", "parse_json"]

Limits = int | Mapping[str, int] | None
"""Rows of each relation in each file: a number, or a number for each split."""


_NO_SPANS = Problem("wrong_type", "'head' and 'tail' must be two whole numbers each")


class _Missing:
    """The type of a field that is not there; None is a value (JSON null)."""


MISSING: Final = _Missing()


@dataclass
class Selection:
    """Which rows of one file are wanted. Rows it leaves out are not read: they count nowhere.

    Attributes:
        relations: Wanted relations; None means all. Rows without a readable relation are kept, so
            that they are quarantined and not lost.
        limits: The first rows of each relation, or of each relation in each split. A row without
            a declared split counts for the split that its hash will give it.
        ratio: train : validation : test of that hash.
        nothing: Want no row at all; used to count the rows of a file quickly.
    """

    relations: frozenset[str] | None = None
    limits: Limits = None
    ratio: tuple[int, int, int] = (3, 1, 1)
    nothing: bool = False
    seen: set[str] = field(default_factory=set)
    _taken: dict[tuple[str, str], int] = field(default_factory=dict)

    def wants(self, relation: str) -> bool:
        """Decide by the relation alone, before a row is built."""
        self.seen.add(relation)
        if self.nothing or (self.relations is not None and relation not in self.relations):
            return False
        return not isinstance(self.limits, int) or self._take((relation, ""), self.limits)

    def keeps(self, relation: str, example: RelationExample) -> bool:
        """Decide by the split, after a row is built."""
        if not isinstance(self.limits, Mapping):
            return True
        split = assign_split(example, self.ratio).split or ""
        limit = self.limits.get(split)
        return limit is None or self._take((relation, split), limit)

    def _take(self, key: tuple[str, str], limit: int) -> bool:
        taken = self._taken.get(key, 0)
        self._taken[key] = taken + 1
        return taken < limit


class RowBuilder:
    """Collects the rows of one file.

    Args:
        file: Name of the file, the first part of every row's source.
        declared: Split of the whole file.
        selection: Which rows are wanted.
        max_rows: Most rows the file may hold.

    Attributes:
        rows: Rows taken; ``index`` counts within the file.
        total: Rows in the file.
    """

    def __init__(
        self, file: str, declared: Split | None, selection: Selection, max_rows: int
    ) -> None:
        self.file = file
        self.rows: list[RawRow] = []
        self.total = 0
        self._declared = declared
        self._selection = selection
        self._max_rows = max_rows

    def unreadable(self, problem: str) -> NoReturn:
        """Reject the batch: the file as a whole can not be read."""
        raise BatchRejected("unreadable_file", f"{self.file}: {problem}")

    def wants(self, relation: str) -> bool:
        """Whether a row of that relation is wanted; counts the row. Call once a row."""
        self._count()
        return self._selection.wants(relation)

    def bad(
        self, place: str, raw: Any, reason: str, detail: str, relation: str | None = None
    ) -> None:
        """Add a row whose form can not be read; counts the row.

        Args:
            place: Place in the file.
            raw: The row as given.
            reason: Code of :data:`cfcre.intake.rows.ROW_REASONS`.
            detail: What was found and what is accepted.
            relation: Its relation where that much is known, so that the selection applies.
        """
        if relation is None:
            self._count()
        elif not self.wants(relation):
            return
        self._refuse(place, raw, reason, detail, relation)

    def add(
        self,
        place: str,
        raw: Any,
        *,
        relation: Any,
        head: Any,
        tail: Any,
        text: Any = MISSING,
        tokens: Any = MISSING,
        id: Any = MISSING,
        split: Any = MISSING,
    ) -> None:
        """Add a row from its fields, whatever they hold; counts the row.

        Args:
            place: Place in the file, for example ``:17``.
            raw: The row as given.
            relation: Relation name.
            head: Start and exclusive end, as a pair or as ``{"start": s, "end": e}``.
            tail: The same.
            text: The sentence, spans counted in characters.
            tokens: The sentence, spans counted in tokens; instead of ``text``.
            id: Name of the row.
            split: Declared split of the row.
        """
        if isinstance(relation, str) and not self.wants(relation):
            return
        if not isinstance(relation, str):
            self._count()
        self.add_wanted(
            place,
            raw,
            relation=relation,
            head=head,
            tail=tail,
            text=text,
            tokens=tokens,
            id=id,
            split=split,
        )

    def add_wanted(
        self,
        place: str,
        raw: Any,
        *,
        relation: Any,
        head: Any,
        tail: Any,
        text: Any = MISSING,
        tokens: Any = MISSING,
        id: Any = MISSING,
        split: Any = MISSING,
    ) -> None:
        """The same for a row that :meth:`wants` already counted and took."""
        label = relation if isinstance(relation, str) else None
        problem = _missing(relation, head, tail, text, tokens) or _mistyped(
            relation, head, tail, text, tokens, id
        )
        head_span, tail_span = as_span(head), as_span(tail)
        if problem is not None or head_span is None or tail_span is None:
            self._refuse(place, raw, *(problem or _NO_SPANS), label)
            return
        if text is MISSING:
            reading, spans = _token_spans(tokens, head_span, tail_span)
            text = " ".join(tokens)
        else:
            reading, spans = _character_spans(text, head_span, tail_span)
        name = "" if id is MISSING or id is None else str(id)
        declared, split_problem = self._split(split)
        example = None
        if spans is not None:
            example = RelationExample(text, *spans, relation, name, declared)
            if not self._selection.keeps(relation, example):
                return
        self.rows.append(
            RawRow(
                len(self.rows), self.file + place, raw, example, split_problem, reading, relation
            )
        )

    def _split(self, split: Any) -> tuple[Split | None, Problem | None]:
        if split is MISSING or split is None:
            return self._declared, None
        if split not in SPLITS:
            return None, Problem(
                "invalid_split",
                f"split {shown(split)}; accepted: {', '.join(SPLITS)}, or no split at all",
            )
        if self._declared is not None and split != self._declared:
            return None, Problem(
                "invalid_split",
                f"the row says {split!r}, but its file was submitted as {self._declared!r}",
            )
        known: Split = split
        return known, None

    def _refuse(self, place: str, raw: Any, reason: str, detail: str, label: str | None) -> None:
        if self._selection.nothing:
            return
        self.rows.append(
            RawRow(
                len(self.rows),
                self.file + place,
                raw,
                problem=Problem(reason, detail),
                relation=label,
            )
        )

    def _count(self) -> None:
        self.total += 1
        if self.total > self._max_rows:
            raise BatchRejected(
                "too_many_rows",
                f"{self.file} holds more than {self._max_rows} rows (intake.max_rows): "
                "submit it in parts",
            )


def _missing(relation: Any, head: Any, tail: Any, text: Any, tokens: Any) -> Problem | None:
    if text is MISSING and tokens is MISSING:
        return Problem("missing_field", "the row has neither 'text' nor 'tokens'")
    for name, value in (("head", head), ("tail", tail), ("relation", relation)):
        if value is MISSING:
            return Problem("missing_field", f"the row has no {name!r}")
        if isinstance(value, dict) and not {"start", "end"} <= value.keys():
            return Problem("missing_field", f"{name!r} needs both 'start' and 'end'")
    return None


def _mistyped(
    relation: Any, head: Any, tail: Any, text: Any, tokens: Any, id: Any
) -> Problem | None:
    def wrong(name: str, value: Any, expected: str) -> Problem:
        return Problem("wrong_type", f"{name} must be {expected}, got {shown(value)}")

    if text is not MISSING and tokens is not MISSING:
        return Problem("wrong_type", "the row has both 'text' and 'tokens'; give one of them")
    if text is not MISSING and not isinstance(text, str):
        return wrong("'text'", text, "text")
    if tokens is not MISSING:
        if not isinstance(tokens, list):
            return wrong("'tokens'", tokens, "a list of words")
        for position, token in enumerate(tokens):
            if not isinstance(token, str):
                return wrong(f"token {position}", token, "text")
    for name, value in (("'head'", head), ("'tail'", tail)):
        if as_span(value) is None:
            return wrong(name, value, "two whole numbers, start and end")
    if not isinstance(relation, str):
        return wrong("'relation'", relation, "text")
    if not (id is MISSING or id is None or isinstance(id, str) or type(id) is int):
        return wrong("'id'", id, "text or a whole number")
    return None


def _sound(length: int, head: tuple[int, int], tail: tuple[int, int]) -> bool:
    inside = 0 <= head[0] < head[1] <= length and 0 <= tail[0] < tail[1] <= length
    return inside and (head[1] <= tail[0] or tail[1] <= head[0])


def _character_spans(
    text: str, head: tuple[int, int], tail: tuple[int, int]
) -> tuple[Reading, tuple[Span, Span] | None]:
    blank = 0
    sound = _sound(len(text), head, tail)
    if sound:
        blank = sum(text[start:end].isspace() for start, end in (head, tail))
    reading = Reading("character", len(text), head, tail, blank)
    return reading, (Span(*head), Span(*tail)) if sound and not blank else None


def _token_spans(
    tokens: list[str], head: tuple[int, int], tail: tuple[int, int]
) -> tuple[Reading, tuple[Span, Span] | None]:
    reading = Reading("token", len(tokens), head, tail)
    if not _sound(len(tokens), head, tail):
        return reading, None
    # Where each token starts in the joined sentence; the same as example_from_tokens does.
    starts = list(accumulate((len(t) + 1 for t in tokens), initial=0))
    spans = []
    for first, end in (head, tail):
        spans.append(Span(starts[first], starts[end] - 1))
    blank = sum(not "".join(tokens[first:end]).strip() for first, end in (head, tail))
    if blank:
        return reading._replace(blank=blank), None
    return reading, (spans[0], spans[1])


def decode_document(data: bytes, file: str) -> str:
    """UTF-8 with or without a byte order mark, as a whole.

    Raises:
        BatchRejected: ``unreadable_file``.
    """
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BatchRejected(
            "unreadable_file",
            f"{file}: byte {error.start} is not UTF-8; convert the file to UTF-8",
        ) from error
