"""``cfcre submit``: files into the inbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cfcre.cli.options import Common, common_options

__all__ = ["relation_names", "selection_options", "submit"]

Function = TypeVar("Function", bound=Callable[..., Any])


def selection_options(function: Function) -> Function:
    """The options that say how files are read, and which of their rows are wanted."""
    options = (
        click.option(
            "--format", "format_", metavar="F", help="Format of the files; default: recognised."
        ),
        click.option("--relations", metavar="A,B", help="Only these relations."),
        click.option(
            "--max-per-relation",
            metavar="N | train=N,test=M",
            help="The first N rows of each relation in each file, or so many of the splits named; "
            "a split that is not named keeps all its rows.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE[@train|@validation|@test]...")
@click.option("--stream", required=True, metavar="NAME", help="Stream that learns the batch.")
@selection_options
@click.option("--sequence", type=click.IntRange(min=1), help="Place of the batch in its stream.")
@common_options
def submit(
    common: Common,
    files: tuple[str, ...],
    stream: str,
    format_: str | None,
    relations: str | None,
    max_per_relation: str | None,
    sequence: int | None,
) -> None:
    """Put labelled files into the inbox as one batch.

    A file marked @train, @validation or @test keeps that split; other rows are split by hash. The
    same content twice is one batch.
    """
    from cfcre.intake.store import open_store
    from cfcre.intake.submit import parse_file, parse_limits, submit_batch

    settings = common.settings()
    result = submit_batch(
        open_store(settings),
        [parse_file(text) for text in files],
        stream=stream,
        settings=settings,
        sequence=sequence,
        format=format_,
        relations=relation_names(relations),
        limits=parse_limits(max_per_relation) if max_per_relation is not None else None,
    )
    if result.already:
        click.echo(
            f"{result.name}: this content was submitted to {stream!r} before "
            f"(it is in {result.already}/); nothing was uploaded"
        )
        return
    for name, rows in result.rows.items():
        click.echo(f"  {name}: {rows} rows")
    click.echo(f"batch {result.name} is in the inbox of {stream!r}; 'cfcre watch' learns it")


def relation_names(text: str | None) -> list[str] | None:
    """Read ``A,B`` of ``--relations``.

    Raises:
        BadParameter: There is no name in it.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("give names, separated by commas", param_hint="--relations")
    return names
