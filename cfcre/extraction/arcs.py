"""Relations as arcs over their entities, in SVG without a script.

Entities that relations connect stand on one line in the order of the text, with the words between
them, shortened where there are many: an arc is never longer than what one can follow, however long
the text is. Entities that nothing connects are in pictures of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfcre.extraction.display import columns, escape, visible
from cfcre.extraction.results import ExtractedEntity, ExtractedRelation, Extraction

__all__ = ["draw_arcs", "groups"]

# Pixels. A column is one character of the font of one width that the page asks for.
_COLUMN, _LINE, _BOX, _LEVEL, _MARGIN = 8.0, 20, 44, 26, 12
_GAP, _CORNER, _HEAD = 10, 8, 6
#: Columns of words shown between two entities, and of an entity's own words.
_LONGEST_GAP, _LONGEST_NAME = 36, 40


def groups(extraction: Extraction) -> list[list[int]]:
    """Entities that relations connect, each group and the groups themselves by place in the text.

    A group that stands between the entities of another one is a picture of its own all the same.
    """
    parent = {e: e for r in extraction.relations for e in (r.head, r.tail)}

    def root(entity: int) -> int:
        while parent[entity] != entity:
            parent[entity] = parent[parent[entity]]
            entity = parent[entity]
        return entity

    for relation in extraction.relations:
        parent[root(relation.head)] = root(relation.tail)
    found: dict[int, list[int]] = {}
    for entity in sorted(parent):
        found.setdefault(root(entity), []).append(entity)
    return sorted(found.values())


@dataclass(frozen=True)
class _Arc:
    relation: ExtractedRelation
    left: float
    right: float
    to_right: bool
    label: str

    @property
    def reach(self) -> tuple[float, float]:
        """From where to where nothing else may be on its level."""
        middle, half = (self.left + self.right) / 2, columns(self.label) * _COLUMN / 2 + 6
        return min(self.left, middle - half) - 4, max(self.right, middle + half) + 4


def draw_arcs(extraction: Extraction, group: Sequence[int], colour: dict[str, int]) -> str:
    """One group as an SVG element.

    Args:
        extraction: The text and what was found in it.
        group: Entities of one of :func:`groups`.
        colour: Number of each entity type's colour class.
    """
    boxes, pieces, width = _line(extraction, group)
    arcs = _arcs(extraction, group, boxes)
    levels = _levels(arcs)
    # A label at the edge may be wider than its arc.
    shift = max(0.0, _MARGIN - min(arc.reach[0] for arc in arcs))
    width = max(width, *(arc.reach[1] for arc in arcs)) + _MARGIN + shift
    top = (max(levels) + 1) * _LEVEL + _MARGIN
    height = top + _BOX + _MARGIN
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(_spoken(extraction, arcs), one_line=True)}">'
        f'<g transform="translate({shift:.0f} {top:.0f})">'
    ]
    for x, text in pieces:
        parts.append(
            f'<text class="gap" x="{x:.1f}" y="{_LINE}" '
            f'textLength="{columns(text) * _COLUMN:.1f}">{escape(text)}</text>'
        )
    for entity, (left, right) in boxes.items():
        parts.append(_box(extraction.entities[entity], left, right, colour))
    # Longer arcs first, so that a short one's label is never crossed out by them.
    for level, arc in sorted(zip(levels, arcs, strict=True), key=lambda pair: -pair[0]):
        parts.append(_arc(arc, -_LEVEL * (level + 0.6)))
    return "".join([*parts, "</g></svg>"])


def _line(
    extraction: Extraction, group: Sequence[int]
) -> tuple[dict[int, tuple[float, float]], list[tuple[float, str]], float]:
    """Left and right of each entity, words between them with their places, and the whole width."""
    boxes: dict[int, tuple[float, float]] = {}
    pieces: list[tuple[float, str]] = []
    x, position = float(_MARGIN), -1
    for number in group:
        entity = extraction.entities[number]
        if position >= 0:
            between = _shortened(extraction.text[position : entity.start], _LONGEST_GAP)
            x += _GAP
            if between:
                pieces.append((x, between))
                x += columns(between) * _COLUMN + _GAP
        words = max(columns(_name(entity)), columns(visible(entity.type, one_line=True)))
        boxes[number] = x, x + words * _COLUMN + 2 * _GAP
        x = boxes[number][1]
        position = max(position, entity.end)
    return boxes, pieces, x


def _arcs(
    extraction: Extraction, group: Sequence[int], boxes: dict[int, tuple[float, float]]
) -> list[_Arc]:
    """Arcs with their ends spread over the width of their entities."""
    inside = frozenset(group)
    relations = [r for r in extraction.relations if r.head in inside]
    ends: dict[int, list[tuple[float, int]]] = {entity: [] for entity in group}
    for number, relation in enumerate(relations):
        for here, there in ((relation.head, relation.tail), (relation.tail, relation.head)):
            # Arcs to the left end left of those to the right. Of either kind the shorter are
            # nearer to their partners, so that arcs of one entity never cross each other.
            distance = boxes[there][0] - boxes[here][0]
            ends[here].append((1 / distance, number if distance < 0 else -number))
    place: dict[tuple[int, int], float] = {}
    for entity, found in ends.items():
        left, right = boxes[entity]
        for order, (_, number) in enumerate(sorted(found)):
            share = (order + 1) / (len(found) + 1)
            place[entity, abs(number)] = left + share * (right - left)
    arcs = []
    for number, relation in enumerate(relations):
        start, end = place[relation.head, number], place[relation.tail, number]
        label = _shortened(relation.type, _LONGEST_NAME)
        arcs.append(_Arc(relation, min(start, end), max(start, end), start < end, label))
    return arcs


def _levels(arcs: Sequence[_Arc]) -> list[int]:
    """Lowest level at which an arc meets none that was placed before; the shortest are first."""
    levels = [0] * len(arcs)
    taken: list[list[tuple[float, float]]] = []
    for number in sorted(range(len(arcs)), key=lambda n: (arcs[n].right - arcs[n].left, n)):
        left, right = arcs[number].reach
        level = 0
        while level < len(taken) and any(a < right and left < b for a, b in taken[level]):
            level += 1
        if level == len(taken):
            taken.append([])
        taken[level].append((left, right))
        levels[number] = level
    return levels


def _box(entity: ExtractedEntity, left: float, right: float, colour: dict[str, int]) -> str:
    middle, name = (left + right) / 2, _name(entity)
    kind = visible(entity.type, one_line=True)
    return (
        f'<g class="c{colour[entity.type]}"><title>{escape(entity.text)} · {escape(kind)} · '
        f"{entity.score:.3f}</title>"
        f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{_BOX}" rx="6"/>'
        f'<text class="name" x="{middle:.1f}" y="{_LINE}" '
        f'textLength="{columns(name) * _COLUMN:.1f}">{escape(name)}</text>'
        f'<text class="kind" x="{middle:.1f}" y="{_LINE + 16}">{escape(kind)}</text></g>'
    )


def _arc(arc: _Arc, y: float) -> str:
    """A rounded path from end to end with its label, and a head where the tail entity is."""
    corner = min(_CORNER, (arc.right - arc.left) / 2)
    path = (
        f"M{arc.left:.1f} -2V{y + corner:.1f}q0 -{corner:.1f} {corner:.1f} -{corner:.1f}"
        f"H{arc.right - corner:.1f}q{corner:.1f} 0 {corner:.1f} {corner:.1f}V-2"
    )
    at = arc.right if arc.to_right else arc.left
    middle, width = (arc.left + arc.right) / 2, columns(arc.label) * _COLUMN * 0.9
    relation = arc.relation
    return (
        f'<g class="arc {relation.source}"><title>{escape(relation.type)} · {relation.score:.3f} · '
        f"{_SOURCES[relation.source]}</title>"
        f'<path d="{path}"/><path class="head" d="M{at - _HEAD / 1.5:.1f} -{_HEAD + 2}'
        f'L{at + _HEAD / 1.5:.1f} -{_HEAD + 2}L{at:.1f} -1Z"/>'
        f'<rect x="{middle - width / 2 - 4:.1f}" y="{y - 9:.1f}" width="{width + 8:.1f}" '
        f'height="18"/><text x="{middle:.1f}" y="{y + 4:.1f}" textLength="{width:.1f}">'
        f"{escape(arc.label)}</text></g>"
    )


_SOURCES = {"spans": "span model, probability", "relations": "relation model, cosine"}


def _name(entity: ExtractedEntity) -> str:
    return _shortened(entity.text, _LONGEST_NAME)


def _shortened(text: str, longest: int) -> str:
    """Text on one line, its middle left out where it is long."""
    shown = " ".join(visible(text, one_line=True).split())
    if columns(shown) <= longest:
        return shown
    half = longest // 2 - 2
    left = right = ""
    for character in shown:
        if columns(left + character) > half:
            break
        left += character
    for character in reversed(shown):
        if columns(character + right) > half:
            break
        right = character + right
    return f"{left.rstrip()} … {right.lstrip()}"


def _spoken(extraction: Extraction, arcs: Sequence[_Arc]) -> str:
    entities = extraction.entities
    return "; ".join(
        f"{entities[a.relation.head].text} {a.relation.type} {entities[a.relation.tail].text}"
        for a in arcs
    )
