"""``cfcre spans``: train, evaluate and try out joint entity and relation extraction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import print_json

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.spans.reading import OnError

__all__ = ["spans"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FILE_OR_FOLDS = click.Path(path_type=Path, exists=True)
_OUT = click.Path(path_type=Path, file_okay=False)
_PRESETS = click.Choice(["spanspanbert", "spert"])

_on_error = click.option(
    "--on-error",
    type=click.Choice(["fail", "quarantine"]),
    default="fail",
    show_default=True,
    help="A document that breaks a rule stops everything, or is set aside and listed.",
)


@click.group()
def spans() -> None:
    """Find entities and relations in text: train and evaluate span models."""


@spans.command()
@click.option(
    "--data",
    type=_FILE_OR_FOLDS,
    required=True,
    metavar="FILE",
    help="Training documents; or a folder of folds, NAME_split_K_train.json and _test.json.",
)
@click.option("--dev", type=_FILE, metavar="FILE", help="Documents to score on after each epoch.")
@click.option("--types", type=_FILE, metavar="FILE", help="Types [default: those in the data].")
@click.option("--out", type=_OUT, required=True, metavar="DIR", help="Model directory to write.")
@click.option("--preset", type=_PRESETS, help="Settings to start from [default spanspanbert].")
@_on_error
@common_options
def train(
    common: Common,
    data: Path,
    dev: Path | None,
    types: Path | None,
    out: Path,
    preset: str | None,
    on_error: OnError,
) -> None:
    """Train a model on documents with entities and relations.

    The model of the last epoch is written; no epoch is picked by its scores. A folder of folds
    trains one model a fold into DIR/fold-K and gives the mean; finished folds are not repeated.
    """
    from cfcre.cli import spans_runs

    settings = _settings(common, preset)
    if data.is_dir():
        if dev is not None:
            raise click.UsageError("a folder of folds brings its test files; leave --dev out")
        spans_runs.train_folds(data, types, out, settings, on_error)
    else:
        spans_runs.train_one(data, dev, types, out, settings, on_error)


@spans.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="Model directory; or the folder of a model a fold.",
)
@click.option(
    "--data",
    type=_FILE_OR_FOLDS,
    required=True,
    metavar="FILE",
    help="Labelled documents; or the folder of folds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_on_error
@common_options
def evaluate(common: Common, model: Path, data: Path, as_json: bool, on_error: OnError) -> None:
    """Score a model as SpERT does: entities, relations, and relations with entity types.

    Documents that are set aside with --on-error quarantine are not scored; they are counted and
    listed.
    """
    from cfcre.cli import spans_runs

    settings = common.settings()
    if data.is_dir():
        result = spans_runs.evaluate_folds(model, data, settings, on_error)
    else:
        result = spans_runs.evaluate_one(model, data, settings, on_error)
    if as_json:
        print_json(result)
    else:
        click.echo(spans_runs.score_lines(result))


@spans.command()
@click.option("--data", type=_FILE, required=True, metavar="FILE", help="Training documents.")
@click.option("--dev", type=_FILE, required=True, metavar="FILE", help="Clean documents to score.")
@click.option("--types", type=_FILE, metavar="FILE", help="Types [default: those in the data].")
@click.option("--out", type=_OUT, required=True, metavar="DIR", help="Folder of results.")
@click.option("--rates", default="0,20,40", show_default=True, metavar="P,Q", help="Percent.")
@click.option("--kinds", default="symmetric,pair-flip", show_default=True, metavar="A,B")
@click.option("--models", default="spanspanbert,spert", show_default=True, metavar="A,B")
@click.option("--seeds", default="2021", show_default=True, metavar="N,M")
@click.option(
    "--average",
    type=click.Choice(["micro", "macro"]),
    default="micro",
    show_default=True,
    help="Figure of table and pictures; the CSV has both.",
)
@_on_error
@common_options
def noise(
    common: Common,
    data: Path,
    dev: Path,
    types: Path | None,
    out: Path,
    rates: str,
    kinds: str,
    models: str,
    seeds: str,
    average: str,
    on_error: OnError,
) -> None:
    """Train on wrong labels, score on right ones: a table and two figures of F1 over the rate.

    A model is a preset of settings; --set changes all of them. Finished runs are kept in DIR/runs
    and not repeated, so a study that was interrupted goes on where it was.
    """
    from cfcre.cli import spans_noise

    spans_noise.run(
        {name: _settings(common, name) for name in spans_noise.names(models, "--models")},
        data=data,
        dev=dev,
        types=types,
        out=out,
        rates=spans_noise.rates(rates),
        kinds=spans_noise.kinds(kinds),
        seeds=spans_noise.seeds(seeds),
        average=average,
        on_error=on_error,
    )


@spans.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="Span model.",
)
@click.option(
    "--relations",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="Learner state whose thresholds are chosen.",
)
@click.option(
    "--data",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="Documents with all their entities and relations, not those of the training.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="F",
    help="File to write, for 'cfcre extract --calibration F'.",
)
@_on_error
@common_options
def calibrate(
    common: Common, model: Path, relations: Path, data: Path, out: Path, on_error: OnError
) -> None:
    """Choose the scores at which a relation model may say a relation at all.

    Pairs of entities that no relation is labelled for are what it must say nothing about.
    """
    from cfcre.cli import spans_calibrate

    spans_calibrate.run(model, relations, data, out, common.settings(), on_error)


def _settings(common: Common, preset: str | None) -> Settings:
    from cfcre.config import span_preset

    more: dict[str, Any] = span_preset(preset) if preset is not None else {}
    return common.settings(more)
