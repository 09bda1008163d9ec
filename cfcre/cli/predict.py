"""``cfcre predict``: relations of sentences, by the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import print_json, printable

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.data.schema import RelationExample
    from cfcre.methods.predictor import Prediction, Predictor

__all__ = ["load_champion", "predict"]

_EXISTING = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("text", required=False)
@click.option("--file", type=_EXISTING, metavar="F", help="JSON Lines; relation not needed.")
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--version", metavar="V", help="A model version instead of the champion.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (a line a row with --file).")
@common_options
def predict(
    common: Common,
    text: str | None,
    file: Path | None,
    top_k: int,
    version: str | None,
    as_json: bool,
) -> None:
    r"""Predict the relation of TEXT with a [head] and a {tail} marked, or of each row of a file.

    \b
    cfcre predict "[Marie Curie] was born in {Warsaw}."

    Write \[ \] \{ \} for brackets that belong to the sentence.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give either TEXT or --file F")
    from cfcre.cli.marks import parse_marked

    settings = common.settings()
    examples = _read_rows(file) if file is not None else [parse_marked(text or "")]
    predictor, chosen = load_champion(settings, version)
    results = predictor.predict(examples, top_k)
    for example, best in zip(examples, results, strict=True):
        if as_json:
            document = _document(example, best, chosen)
            if file is None:
                print_json(document)
            else:
                click.echo(json.dumps(document, ensure_ascii=False))
        else:
            click.echo("\n".join(_lines(example, best)))


def load_champion(settings: Settings, version: str | None = None) -> tuple[Predictor, str]:
    """The predictor of a version, by default the champion, and which version it is.

    Raises:
        NotFoundError: There is no champion yet, or no such version.
    """
    from cfcre.cli.home import open_ledger
    from cfcre.errors import NotFoundError
    from cfcre.operations.states import state_folder

    ledger = open_ledger(settings)
    chosen = version or ledger.champion()
    if chosen is None:
        raise NotFoundError(
            "there is no champion yet; 'cfcre watch' learns the inbox, and 'cfcre models' lists "
            "versions for --version"
        )
    folder = state_folder(settings, ledger, chosen)
    from cfcre.methods.predictor import Predictor

    return Predictor.load(folder, settings), chosen


def _read_rows(file: Path) -> list[RelationExample]:
    from cfcre.errors import DataError
    from cfcre.intake.formats.base import RowBuilder, Selection
    from cfcre.intake.formats.jsonl import add_object

    lines = file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows = RowBuilder(file.name, None, Selection(), len(lines) + 1)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise DataError(f"{file.name}:{number} is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise DataError(f"{file.name}:{number} holds {type(data).__name__}, not an object")
        add_object({**data, "relation": "-", "split": None}, f":{number}", rows)
    bad = next((row for row in rows.rows if row.example is None), None)
    if bad is not None:
        why = bad.problem.detail if bad.problem else "its spans do not fit its text"
        raise DataError(f"{bad.source}: {why}")
    return [row.example for row in rows.rows if row.example is not None]


def _document(example: RelationExample, best: list[Prediction], version: str) -> dict[str, Any]:
    return {
        "text": example.text,
        "head": {"start": example.head.start, "end": example.head.end, "text": example.head_text},
        "tail": {"start": example.tail.start, "end": example.tail.end, "text": example.tail_text},
        "model_version": version,
        "predictions": [
            {"relation": p.relation, "score": p.score, "probability": p.probability} for p in best
        ],
    }


def _lines(example: RelationExample, best: list[Prediction]) -> list[str]:
    pair = f"{printable(example.head_text)} → {printable(example.tail_text)}"
    return [
        f"{pair}: {printable(p.relation)}  (score {p.score:.3f}, probability {p.probability:.3f})"
        for p in best
    ]
