r"""Sentences with marked entities, as in ``[Marie Curie] was born in {Warsaw}``.

Square brackets mark the head, braces the tail; each exactly once. A bracket that belongs to the
sentence is written with a backslash before it: ``\[ \] \{ \} \\``.
"""

from __future__ import annotations

from cfcre.data.schema import RelationExample, Span
from cfcre.errors import ConfigurationError

__all__ = ["parse_marked"]

_MARKS = {
    "[": ("head", "open"),
    "]": ("head", "close"),
    "{": ("tail", "open"),
    "}": ("tail", "close"),
}
_PAIRS = {"head": "[ ]", "tail": "{ }"}


def parse_marked(marked: str) -> RelationExample:
    """Take the marks out and keep where they were.

    Raises:
        ConfigurationError: A mark is missing, given twice, empty, or the two cross.
    """
    text: list[str] = []
    found: dict[tuple[str, str], int] = {}
    inside: str | None = None
    characters = iter(marked)
    for character in characters:
        if character == "\\":
            # A backslash before anything else is just a backslash.
            following = next(characters, "")
            text.append(following if following in {*_MARKS, "\\"} else character + following)
            continue
        if character not in _MARKS:
            text.append(character)
            continue
        entity, side = _MARKS[character]
        if (entity, side) in found:
            raise _wrong(f"there is more than one {character!r}")
        if side == "open" and inside is not None:
            raise _wrong(f"{character!r} stands inside the {inside}'s marks")
        if side == "close" and inside != entity:
            raise _wrong(f"{character!r} closes nothing")
        inside = entity if side == "open" else None
        found[entity, side] = sum(map(len, text))
    if inside is not None:
        raise _wrong(f"the {inside}'s mark is not closed")
    spans = {}
    for entity, pair in _PAIRS.items():
        if (entity, "open") not in found:
            raise _wrong(f"the {entity} is not marked with {pair}")
        spans[entity] = Span(found[entity, "open"], found[entity, "close"])
    sentence = "".join(text)
    for entity, span in spans.items():
        if not sentence[span.start : span.end].strip():
            raise _wrong(f"nothing stands between the {entity}'s marks")
    return RelationExample(sentence, spans["head"], spans["tail"])


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{problem}; mark one head and one tail, as in '[Marie Curie] was born in {{Warsaw}}.', "
        "and write \\[ \\] \\{ \\} for brackets of the sentence"
    )
