"""What a document must be: every rule a document can break, with a stable reason code.

The rules about spans and JSON values are those of :mod:`cfcre.data.json_values`, which rows of
relation examples are read by as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from cfcre.data.json_values import as_span, shown, span_reason
from cfcre.spans.documents import Document, Entity, LabelTypes, Relation

__all__ = ["DOCUMENT_REASONS", "Refusal", "build_document", "ordered_document", "ordered_relation"]

DOCUMENT_REASONS: tuple[str, ...] = (
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "lone_surrogate",
    "text_too_long",
    "empty_text",
    "span_out_of_range",
    "span_empty",
    "span_inverted",
    "span_not_on_words",
    "unknown_entity_type",
    "duplicate_span",
    "relation_to_itself",
    "unknown_relation_type",
    "too_long_for_encoder",
)
"""Why a document can be refused. A document that breaks several rules carries the first found."""


class Refusal(NamedTuple):
    """A code of :data:`DOCUMENT_REASONS` and a line for the data engineer."""

    reason: str
    detail: str


class _Refused(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


def build_document(
    raw: Any, types: LabelTypes | None, max_chars: int
) -> tuple[Document, int] | Refusal:
    """Check one document as it was parsed.

    Args:
        raw: Any JSON value.
        types: Types that may occur; None accepts any name.
        max_chars: Most characters of the text.

    Returns:
        The document and how many of its relations repeated another one exactly, or the first rule
        that it breaks.
    """
    try:
        if not isinstance(raw, dict):
            raise _Refused("not_an_object", f"a document must be an object, got {shown(raw)}")
        document = _words(raw, max_chars)
        listed = _list(raw, "entities")
        entities = tuple(
            _entity(number, item, document, types) for number, item in enumerate(listed)
        )
        _distinct(entities)
        relations = [
            _relation(number, item, entities, types)
            for number, item in enumerate(_list(raw, "relations"))
        ]
        symmetric = types.symmetric if types is not None else frozenset()
        kept = tuple(dict.fromkeys(ordered_relation(r, entities, symmetric) for r in relations))
        made = Document(
            document.words,
            entities,
            kept,
            document.id,
            document.given_text,
            document.given_offsets,
        )
        return made, len(relations) - len(kept)
    except _Refused as refused:
        return refused.refusal


def ordered_relation(
    relation: Relation, entities: tuple[Entity, ...], symmetric: frozenset[str]
) -> Relation:
    """A relation that holds both ways goes from the entity that stands first."""
    head, tail, name = relation
    if name in symmetric and entities[tail][:2] < entities[head][:2]:
        return Relation(tail, head, name)
    return relation


def ordered_document(document: Document, symmetric: frozenset[str]) -> Document:
    """A document whose relations that hold both ways are kept once, see above."""
    relations = dict.fromkeys(
        ordered_relation(r, document.entities, symmetric) for r in document.relations
    )
    return replace(document, relations=tuple(relations))


def _words(raw: dict[str, Any], max_chars: int) -> Document:
    has_text, has_tokens = "text" in raw, "tokens" in raw
    if has_text == has_tokens:
        both = (
            "both 'tokens' and 'text'; give one of them"
            if has_text
            else ("neither 'tokens' nor 'text'")
        )
        raise _Refused("wrong_type" if has_text else "missing_field", f"the document has {both}")
    name = raw.get("orig_id", raw.get("id"))
    id = "" if name is None else name if isinstance(name, str) else str(name)
    if has_text:
        if not isinstance(raw["text"], str):
            raise _Refused("wrong_type", f"'text' must be text, got {shown(raw['text'])}")
        _check_text(raw["text"], max_chars)
        document = Document.from_text(raw["text"], id)
    else:
        tokens = raw["tokens"]
        if not isinstance(tokens, list):
            raise _Refused("wrong_type", f"'tokens' must be a list of words, got {shown(tokens)}")
        for position, token in enumerate(tokens):
            if not isinstance(token, str):
                raise _Refused("wrong_type", f"token {position} must be text, got {shown(token)}")
        document = Document.from_words(tokens, id)
        _check_text(document.text, max_chars)
    if not document.words:
        raise _Refused("empty_text", "the document has no words")
    return document


def _check_text(text: str, max_chars: int) -> None:
    if len(text) > max_chars:
        raise _Refused(
            "text_too_long", f"{len(text)} characters; intake.max_text_chars is {max_chars}"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _Refused(
            "lone_surrogate", f"character {error.start} is half of a surrogate pair"
        ) from None


def _list(raw: dict[str, Any], field: str) -> list[Any]:
    if field not in raw:
        raise _Refused("missing_field", f"the document has no {field!r}; it may be an empty list")
    value = raw[field]
    if not isinstance(value, list):
        raise _Refused("wrong_type", f"{field!r} must be a list, got {shown(value)}")
    return value


def _type(item: dict[str, Any], where: str, known: dict[str, int] | None, kind: str) -> str:
    if "type" not in item:
        raise _Refused("missing_field", f"{where} has no 'type'")
    name = item["type"]
    if not isinstance(name, str) or not name.strip():
        raise _Refused("wrong_type", f"the type of {where} must be a name, got {shown(name)}")
    if known is not None and name not in known:
        accepted = ", ".join(known) or "none"
        raise _Refused(f"unknown_{kind}_type", f"{where} has type {shown(name)}; known: {accepted}")
    return name


def _entity(number: int, item: Any, document: Document, types: LabelTypes | None) -> Entity:
    where = f"entity {number}"
    if not isinstance(item, dict):
        raise _Refused("wrong_type", f"{where} must be an object, got {shown(item)}")
    if not {"start", "end"} <= item.keys():
        raise _Refused("missing_field", f"{where} needs both 'start' and 'end'")
    span = as_span(item)
    if span is None:
        raise _Refused("wrong_type", f"'start' and 'end' of {where} must be whole numbers")
    start, end = span
    in_text = document.given_text is not None
    length = len(document.text) if in_text else len(document.words)
    unit = "characters" if in_text else "tokens"
    reason = span_reason(start, end, length)
    if reason is not None:
        raise _Refused(
            reason, f"{where} is [{start}, {end}) of {length} {unit}; the end is exclusive"
        )
    if in_text:
        start, end = _on_words(where, start, end, document)
    name = _type(item, where, types.entity_number if types else None, "entity")
    return Entity(start, end, name)


def _on_words(where: str, start: int, end: int, document: Document) -> tuple[int, int]:
    starts = {offset[0]: number for number, offset in enumerate(document.offsets)}
    ends = {offset[1]: number for number, offset in enumerate(document.offsets, start=1)}
    if start not in starts or end not in ends:
        near = [document.text[a:b] for a, b in document.offsets if a < end and start < b]
        raise _Refused(
            "span_not_on_words",
            f"{where} is {shown(document.text[start:end])}, which does not begin and end with "
            f"words; the words there are {shown(near)}",
        )
    return starts[start], ends[end]


def _distinct(entities: tuple[Entity, ...]) -> None:
    seen: dict[tuple[int, int], int] = {}
    for number, entity in enumerate(entities):
        first = seen.setdefault(entity[:2], number)
        if first != number:
            raise _Refused(
                "duplicate_span",
                f"entities {first} ({entities[first].type}) and {number} ({entity.type}) are the "
                f"same words [{entity.start}, {entity.end}); a span has one type",
            )


def _relation(
    number: int, item: Any, entities: tuple[Entity, ...], types: LabelTypes | None
) -> Relation:
    where = f"relation {number}"
    if not isinstance(item, dict):
        raise _Refused("wrong_type", f"{where} must be an object, got {shown(item)}")
    places = []
    for end in ("head", "tail"):
        if end not in item:
            raise _Refused("missing_field", f"{where} has no {end!r}")
        place = item[end]
        if type(place) is not int:
            raise _Refused(
                "wrong_type",
                f"{end} of {where} must be the number of an entity, got {shown(place)}",
            )
        if not 0 <= place < len(entities):
            raise _Refused(
                "span_out_of_range",
                f"{end} of {where} is entity {place} of {len(entities)} entities",
            )
        places.append(place)
    if places[0] == places[1]:
        raise _Refused("relation_to_itself", f"{where} goes from entity {places[0]} to itself")
    name = _type(item, where, types.relation_number if types else None, "relation")
    return Relation(places[0], places[1], name)
