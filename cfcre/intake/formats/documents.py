"""The three formats that are one JSON document: FewRel, TACRED and SpERT."""

from __future__ import annotations

from typing import Any

from cfcre.intake.formats.base import MISSING, RowBuilder

__all__ = ["matches", "parse_fewrel", "parse_spert", "parse_tacred"]


def matches(document: Any) -> list[str]:
    """Names of the formats that the document can be; an empty list can be two."""
    if isinstance(document, dict):
        return ["fewrel"] if _is_fewrel(document) else []
    if not isinstance(document, list):
        return []
    first = next((item for item in document if isinstance(item, dict)), None)
    if first is None:
        return [] if document else ["spert", "tacred"]
    found = []
    if {"tokens", "entities", "relations"} <= first.keys():
        found.append("spert")
    if {"token", "subj_start", "obj_start"} <= first.keys():
        found.append("tacred")
    return found


def _is_fewrel(document: dict[str, Any]) -> bool:
    if not all(isinstance(items, list) for items in document.values()):
        return False
    for items in document.values():
        for item in items:
            if isinstance(item, dict):
                return {"tokens", "h", "t"} <= item.keys()
    return bool(document) and not any(document.values())


def parse_fewrel(document: Any, rows: RowBuilder) -> None:
    """FewRel: relation → list of ``{"tokens", "h": [name, id, [[indices], …]], "t": …}``.

    The span of an entity is its first mention, from the first to the last index given.
    """
    if not isinstance(document, dict):
        rows.unreadable(f"holds {_kind(document)}; FewRel is an object: relation to list of rows")
    for relation, items in document.items():
        if not isinstance(items, list):
            detail = f"{relation!r} must hold a list of rows"
            rows.bad(f"#{relation}", items, "wrong_type", detail, relation)
            continue
        for position, item in enumerate(items):
            # Most relations of a file are often filtered out: decide before looking at the row.
            if not rows.wants(relation):
                continue
            fields = item if isinstance(item, dict) else {}
            rows.add_wanted(
                f"#{relation}[{position}]",
                item if not isinstance(item, dict) else {**item, "relation": relation},
                relation=relation,
                head=_mention(fields.get("h", MISSING)),
                tail=_mention(fields.get("t", MISSING)),
                tokens=fields.get("tokens", MISSING),
                id=fields.get("id", MISSING),
                split=fields.get("split", MISSING),
            )


def _mention(entity: Any) -> Any:
    """The first mention as a pair; anything else as text, which is refused as a wrong type."""
    if entity is MISSING:
        return MISSING
    match entity:
        case [_, _, [[first, *_, last], *_]] if type(first) is int and type(last) is int:
            return (first, last + 1)
        case [_, _, [[only], *_]] if type(only) is int:
            return (only, only + 1)
    return repr(entity)  # not as it is: [3, 5] would pass for a pair


def parse_tacred(document: Any, rows: RowBuilder) -> None:
    """TACRED: a list of objects; ``subj_end`` and ``obj_end`` are the last token, inclusive."""
    if not isinstance(document, list):
        rows.unreadable(f"holds {_kind(document)}; TACRED is a list of objects")
    for position, item in enumerate(document):
        place = f"[{position}]"
        if not isinstance(item, dict):
            rows.bad(place, item, "not_an_object", f"entry {position} is {_kind(item)}")
            continue
        rows.add(
            place,
            item,
            relation=item.get("relation", MISSING),
            head=_inclusive(item, "subj"),
            tail=_inclusive(item, "obj"),
            tokens=item.get("token", MISSING),
            id=item.get("id", MISSING),
            split=item.get("split", MISSING),
        )


def _inclusive(item: dict[str, Any], name: str) -> Any:
    if f"{name}_start" not in item or f"{name}_end" not in item:
        return MISSING
    start, last = item[f"{name}_start"], item[f"{name}_end"]
    return (start, last + 1 if type(last) is int else last)


def parse_spert(document: Any, rows: RowBuilder) -> None:
    """SpERT: documents with tokens, entities and relations; each gold relation is one row."""
    if not isinstance(document, list):
        rows.unreadable(f"holds {_kind(document)}; SpERT is a list of documents")
    for position, item in enumerate(document):
        place = f"[{position}]"
        if not isinstance(item, dict):
            rows.bad(place, item, "not_an_object", f"document {position} is {_kind(item)}")
            continue
        relations = item.get("relations", MISSING)
        if relations is MISSING:
            rows.bad(place, item, "missing_field", "the document has no 'relations'")
        elif not isinstance(relations, list):
            rows.bad(place, item, "wrong_type", "'relations' must be a list")
        else:
            for number, relation in enumerate(relations):
                _spert_row(item, relation, f"{place}.relations[{number}]", rows)


def _spert_row(item: dict[str, Any], relation: Any, place: str, rows: RowBuilder) -> None:
    if not isinstance(relation, dict):
        rows.bad(place, relation, "not_an_object", "a relation must be an object")
        return
    entities = item.get("entities", MISSING)
    raw = {"tokens": item.get("tokens"), "entities": item.get("entities"), "relations": [relation]}
    label = relation.get("type", MISSING)
    label_text = label if isinstance(label, str) else None
    for name in ("head", "tail"):
        number = relation.get(name)
        known = len(entities) if isinstance(entities, list) else 0
        if type(number) is int and not 0 <= number < known:
            detail = f"{name} is entity {number} of {known} entities"
            rows.bad(place, raw, "span_out_of_range", detail, label_text)
            return
    rows.add(
        place,
        raw,
        relation=label,
        head=_entity(entities, relation.get("head", MISSING)),
        tail=_entity(entities, relation.get("tail", MISSING)),
        tokens=item.get("tokens", MISSING),
        id=item.get("orig_id", MISSING),
        split=item.get("split", MISSING),
    )


def _entity(entities: Any, number: Any) -> Any:
    if number is MISSING or not isinstance(entities, list) or type(number) is not int:
        return number
    entity = entities[number]
    return entity if isinstance(entity, dict) else repr(entity)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), type(value).__name__)
