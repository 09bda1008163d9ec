"""SemEval-2010 Task 8 text.

::

    8<TAB>"The <e1>burst</e1> has been caused by water hammer <e2>pressure</e2>."
    Cause-Effect(e2,e1)
    Comment: optional
    <empty line>

The relation's arguments name head and tail: ``Cause-Effect(e2,e1)`` is the relation
``Cause-Effect`` with ``e2`` as head. A name without arguments reads from ``e1`` to ``e2``.
"""

from __future__ import annotations

import codecs
import re

from cfcre.intake.formats.base import RowBuilder

__all__ = ["matches", "parse"]

_FIRST_LINE = re.compile(rb"^\d+\t.*<e[12]>")
_TAG = re.compile(r"<(/?)e([12])>")
_RELATION = re.compile(r"(?P<name>[^()]*)(?:\((?P<head>e[12]),(?P<tail>e[12])\))?")


def matches(data: bytes) -> bool:
    """Whether the first line is a numbered sentence with a marked entity."""
    return bool(_FIRST_LINE.match(data.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")[:100_000]))


def parse(data: bytes, rows: RowBuilder) -> None:
    """Read every record; records are separated by empty lines."""
    record: list[bytes] = []
    start = 1
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        line = line.removesuffix(b"\r")
        if line.strip():
            if not record:
                start = number
            record.append(line)
        elif record:
            _record(record, f":{start}", rows)
            record = []
    if record:
        _record(record, f":{start}", rows)


def _record(lines: list[bytes], place: str, rows: RowBuilder) -> None:
    try:
        decoded = [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError as error:
        raw = b"\n".join(lines).decode("utf-8", "backslashreplace")
        rows.bad(place, raw, "invalid_encoding", f"the record is not UTF-8: {error.reason}")
        return
    raw_text = "\n".join(decoded)
    number, tab, sentence = decoded[0].partition("\t")
    if not tab:
        rows.bad(
            place, raw_text, "missing_field", "the first line must be a number, a tab, a sentence"
        )
        return
    label = next((line.strip() for line in decoded[1:] if not line.startswith("Comment:")), None)
    if label is None:
        rows.bad(place, raw_text, "missing_field", "the line with the relation is missing")
        return
    parts = _RELATION.fullmatch(label)
    if parts is None or (parts["head"] is not None and parts["head"] == parts["tail"]):
        rows.bad(
            place,
            raw_text,
            "wrong_type",
            f"relation {label[:80]!r}: expected Name(e1,e2), Name(e2,e1) or a plain name",
        )
        return
    sentence = sentence.strip()
    if len(sentence) > 1 and sentence.startswith('"') and sentence.endswith('"'):
        sentence = sentence[1:-1]
    found = _marks(sentence)
    if isinstance(found, str):
        rows.bad(place, raw_text, "missing_field", found)
        return
    text, spans = found
    rows.add(
        place,
        raw_text,
        relation=parts["name"],
        head=spans[parts["head"] or "e1"],
        tail=spans[parts["tail"] or "e2"],
        text=text,
        id=number.strip(),
    )


def _marks(sentence: str) -> tuple[str, dict[str, tuple[int, int]]] | str:
    """The sentence without its marks and the marked spans, or what is wrong with the marks."""
    at: dict[str, int] = {}
    text = ""
    end = 0
    for tag in _TAG.finditer(sentence):
        text += sentence[end : tag.start()]
        end = tag.end()
        name = f"{tag[1]}e{tag[2]}"
        if name in at:
            return f"the mark <{name}> stands more than once"
        at[name] = len(text)
    for name in ("e1", "/e1", "e2", "/e2"):
        if name not in at:
            return f"the mark <{name}> is missing"
    text += sentence[end:]
    return text, {"e1": (at["e1"], at["/e1"]), "e2": (at["e2"], at["/e2"])}
