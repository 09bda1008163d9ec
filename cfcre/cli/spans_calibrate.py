"""What ``cfcre spans calibrate`` does, and how it shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfcre.cli.output import number, printable, table
from cfcre.cli.spans_runs import say_refused
from cfcre.extraction.calibration import calibrate
from cfcre.extraction.registered import symmetric_relations
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.spans.model import SpanModel
from cfcre.spans.reading import read_documents

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.spans.reading import OnError

__all__ = ["run"]


def run(
    model: Path, relations: Path, data: Path, out: Path, settings: Settings, on_error: OnError
) -> None:
    """Calibrate and write the file."""
    span_model = SpanModel.load(model, settings.compute)
    state = LearnerState.load(relations)
    reading = read_documents(data, None, settings.intake, on_error=on_error)
    say_refused(data.name, reading.refused)
    found = calibrate(
        span_model,
        Predictor(state, settings.compute),
        reading.documents,
        settings=settings.extraction,
        symmetric=symmetric_relations(state),
    )
    found.write(out)
    rows = [[name, number(found.threshold_of(name))] for name in found.relations]
    click.echo(table(["relation", "least score"], rows))
    click.echo(
        f"{found.documents} documents of {printable(data.name)}: {found.pairs} pairs of entities, "
        f"{found.labelled} labelled relations"
    )
    click.echo(
        f"at these scores: precision {number(found.precision)}, recall {number(found.recall)}"
    )
    if found.unread:
        click.echo(f"{found.unread} pairs are too far apart for the relation model")
    click.echo(f"calibration written to {out}")
