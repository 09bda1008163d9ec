"""A page with entities and relation arcs: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cfcre.extraction.arcs import draw_arcs, groups
from cfcre.extraction.display import escape
from cfcre.extraction.results import ExtractedEntity, Extraction

__all__ = ["render_page"]

#: Colour classes of the style sheet.
_COLOURS = 10
_STYLE = Path(__file__).with_name("page.css")
_SOURCES = {"spans": "span model", "relations": "relation model"}


def render_page(
    extractions: Iterable[tuple[str, Extraction]], title: str = "Entities and relations"
) -> str:
    """Show texts, each with its entities marked, arcs of its relations, and a table of these.

    Args:
        extractions: Names, which may be empty, and what was found.
        title: Of the page.

    Returns:
        HTML; everything that comes from texts and models is escaped.
    """
    listed = list(extractions)
    types = Counter(e.type for _, found in listed for e in found.entities)
    colour = {name: number % _COLOURS for number, name in enumerate(sorted(types))}
    relations = sum(len(found.relations) for _, found in listed)
    legend = "".join(
        f'<li class="c{colour[name]}">{escape(name, one_line=True)} <b>{count}</b></li>'
        for name, count in sorted(types.items())
    )
    sections = "".join(_section(id, found, colour) for id, found in listed)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Whatever a text holds, nothing in this page runs and nothing is loaded.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main><header><h1>{escape(title)}</h1><p>{_count(len(listed), 'text')}, "
        f"{_count(sum(types.values()), 'entity', 'entities')}, {_count(relations, 'relation')}</p>"
        f'<ul class="legend">{legend}</ul></header>{sections}</main></body></html>\n'
    )


def _section(id: str, found: Extraction, colour: dict[str, int]) -> str:
    marked, other = _disjoint(found.entities)
    parts = ['<section class="text">']
    if id:
        parts.append(f"<h2>{escape(id, one_line=True)}</h2>")
    parts.append(f'<p class="flow" dir="auto">{_flow(found.text, marked, colour)}</p>')
    if other:
        listed = ", ".join(
            f"<bdi>{escape(e.text, one_line=True)}</bdi> ({escape(e.type, one_line=True)}, "
            f"{e.score:.3f})"
            for e in other
        )
        parts.append(f'<p class="note">Overlapping with these: {listed}</p>')
    pictures = [draw_arcs(found, group, colour) for group in groups(found)]
    parts += [f'<div class="arcs">{picture}</div>' for picture in pictures]
    if found.relations:
        parts.append(_table(found))
    parts += [f'<p class="note">{note}</p>' for note in _notes(found)]
    return "".join([*parts, "</section>"])


def _flow(text: str, entities: Sequence[ExtractedEntity], colour: dict[str, int]) -> str:
    """The text with entities marked where they stand."""
    parts, position = [], 0
    for entity in entities:
        parts.append(escape(text[position : entity.start]))
        parts.append(
            f'<mark class="c{colour[entity.type]}" title="{entity.score:.3f}">'
            f"{escape(text[entity.start : entity.end])}"
            f"<span>{escape(entity.type, one_line=True)}</span></mark>"
        )
        position = entity.end
    return "".join([*parts, escape(text[position:])])


def _disjoint(
    entities: Sequence[ExtractedEntity],
) -> tuple[list[ExtractedEntity], list[ExtractedEntity]]:
    """Entities that can be marked in running text, and those that share characters with them."""
    marked: list[ExtractedEntity] = []
    other: list[ExtractedEntity] = []
    for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
        free = not marked or marked[-1].end <= entity.start
        (marked if free else other).append(entity)
    return marked, other


def _table(found: Extraction) -> str:
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td><bdi>{escape(text, one_line=True)}</bdi></td>"
            for text in (found.entities[r.head].text, r.type, found.entities[r.tail].text)
        )
        + f'<td class="number">{r.score:.3f}</td><td>{_SOURCES[r.source]}</td></tr>'
        for r in found.relations
    )
    head = "".join(f"<th>{name}</th>" for name in ("head", "relation", "tail", "score", "from"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="arcs">{table}</div>'


def _notes(found: Extraction) -> list[str]:
    notes = []
    if not found.entities:
        notes.append("Nothing was found.")
    if found.windows > 1:
        notes.append(f"Read in {found.windows} windows.")
    if found.unread:
        places = ", ".join(f"[{start}, {end})" for start, end in found.unread)
        notes.append(f"Not read, because these words are longer than a window: {places}")
    return notes


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
