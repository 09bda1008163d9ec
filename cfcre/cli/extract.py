"""``cfcre extract``: entities and relations of plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import printable

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.extraction.extractor import Extractor
    from cfcre.extraction.inputs import InputText
    from cfcre.extraction.results import Extraction

__all__ = ["extract"]

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
#: Texts that go through the models together.
_CHUNK = 256


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    type=_FILE,
    metavar="F",
    help="One text a line; .jsonl or .json: texts, or objects with 'text' or 'tokens'.",
)
@click.option("--whole", is_flag=True, help="Take the plain text file as one text.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, a line a text.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Also write a page with entities and relation arcs.",
)
@click.option("--spans", type=_FOLDER, metavar="DIR", help="Span model instead of the registered.")
@click.option(
    "--relations", type=_FOLDER, metavar="DIR", help="Learner state to join it with; needs --spans."
)
@click.option("--calibration", type=_FILE, metavar="F", help="Its calibration; needs --relations.")
@click.option(
    "--pinned",
    is_flag=True,
    help="The relation version that the extractor was registered with, not today's champion.",
)
@click.option(
    "--overlap",
    type=click.Choice(["allow", "best", "error"]),
    help="Entities that share "
    "words: keep all, keep the best scored, or stop [default extraction.overlap].",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="TYPE=V",
    help="Least score of an entity type or relation; may be given often.",
)
@click.option(
    "--constraint",
    "constraints",
    multiple=True,
    metavar="HEAD,RELATION,TAIL",
    help="Types that a relation may hold between; may be given often.",
)
@common_options
def extract(
    common: Common,
    texts: tuple[str, ...],
    file: Path | None,
    whole: bool,
    as_json: bool,
    html: Path | None,
    spans: Path | None,
    relations: Path | None,
    calibration: Path | None,
    pinned: bool,
    overlap: str | None,
    thresholds: tuple[str, ...],
    constraints: tuple[str, ...],
) -> None:
    r"""Find entities and relations in TEXTs, or in each text of a file.

    \b
    cfcre extract "Ada Thornwick was born in Velmora."

    Uses the registered extractor, or the models in the folders that are named.
    """
    if bool(texts) == (file is not None):
        raise click.UsageError("give either TEXT or --file F")
    if whole and file is None:
        raise click.UsageError("--whole needs --file")
    if relations is not None and spans is None:
        raise click.UsageError("--relations needs --spans")
    if calibration is not None and relations is None:
        raise click.UsageError("--calibration needs --relations")
    if pinned and spans is not None:
        raise click.UsageError("--pinned is about registered versions; leave --spans out")
    settings = common.settings({"extraction.overlap": overlap})
    extractor = _open(settings, spans, relations, calibration, pinned)
    choice = _choice(extractor, thresholds, constraints)
    shown: list[tuple[str, Extraction]] = []
    for chunk in _chunks(texts, file, whole, settings):
        for item, found in zip(chunk, extractor([i.text for i in chunk], **choice), strict=True):
            click.echo(_json_line(item.id, found) if as_json else _lines(found))
            if html is not None:
                shown.append((item.id, found))
    if html is not None:
        from cfcre.data.files import write_bytes
        from cfcre.extraction.html import render_page

        write_bytes(html, render_page(shown).encode("utf-8"))
        click.echo(f"page written to {html}", err=True)


def _open(
    settings: Settings,
    spans: Path | None,
    relations: Path | None,
    calibration: Path | None,
    pinned: bool,
) -> Extractor:
    from cfcre.extraction.extractor import Extractor

    if spans is None:
        return Extractor.from_registry(settings=settings, pinned=pinned)
    return Extractor.load(
        spans=spans,
        relations=relations,
        calibration=calibration,
        settings=settings.extraction,
        compute=settings.compute,
    )


def _choice(
    extractor: Extractor, thresholds: Sequence[str], constraints: Sequence[str]
) -> dict[str, Any]:
    """Thresholds and constraints over those of the settings, as the extractor takes them."""
    entities = dict(extractor.settings.entity_thresholds)
    relations = dict(extractor.settings.relation_thresholds)
    for text in thresholds:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not name or not -1 <= number <= 1:
            raise click.UsageError(
                f"--threshold takes TYPE=V with V from -1 to 1, got {printable(text)!r}"
            )
        is_entity, is_relation = (
            name in types for types in (extractor.entity_types, extractor.relation_types)
        )
        if not (is_entity or is_relation):
            raise click.UsageError(
                f"--threshold: there is no type {printable(name)!r}; entity types are "
                f"{', '.join(extractor.entity_types)}; relations are "
                f"{', '.join(extractor.relation_types)}"
            )
        if is_entity:
            entities[name] = number
        if is_relation:
            relations[name] = number
    choice: dict[str, Any] = {"entity_thresholds": entities, "relation_thresholds": relations}
    if constraints:
        triples = [tuple(text.split(",")) for text in constraints]
        for text, triple in zip(constraints, triples, strict=True):
            if len(triple) != 3:
                raise click.UsageError(
                    f"--constraint takes HEAD,RELATION,TAIL, got {printable(text)!r}"
                )
        choice["constraints"] = triples
    return choice


def _chunks(
    texts: Sequence[str], file: Path | None, whole: bool, settings: Settings
) -> Iterator[list[InputText]]:
    from cfcre.extraction.inputs import InputText, read_inputs

    items: Iterator[InputText] = (InputText("", text) for text in texts)
    if file is not None:
        items = read_inputs(file, whole=whole, max_bytes=settings.intake.max_object_bytes)
    while chunk := list(islice(items, _CHUNK)):
        yield chunk


def _json_line(id: str, found: Extraction) -> str:
    data = {"id": id, **found.to_json()} if id else found.to_json()
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    # Many readers take these for the end of a line.
    for separator in "\x85\u2028\u2029":
        text = text.replace(separator, f"\\u{ord(separator):04x}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Half a surrogate pair has no form in UTF-8; as an escape it is JSON all the same.
        return json.dumps(data, allow_nan=False)
    return text


def _lines(found: Extraction) -> str:
    """One text for people."""
    lines = [printable(found.text)]
    width = max((len(printable(e.type)) for e in found.entities), default=0)
    for entity in found.entities:
        kind = printable(entity.type).ljust(width)
        lines.append(
            f"  {kind}  {printable(entity.text)}  [{entity.start}, {entity.end})  "
            f"{entity.score:.3f}"
        )
    for relation in found.relations:
        head, tail = (found.entities[i].text for i in (relation.head, relation.tail))
        lines.append(
            f"  {printable(head)} → {printable(relation.type)} → {printable(tail)}  "
            f"{relation.score:.3f}" + (" (cosine)" if relation.source == "relations" else "")
        )
    if not found.entities:
        lines.append("  nothing found")
    if found.windows > 1:
        lines.append(f"  read in {found.windows} windows")
    for start, end in found.unread:
        lines.append(f"  not read: characters [{start}, {end}), a word longer than a window")
    return "\n".join(lines)
