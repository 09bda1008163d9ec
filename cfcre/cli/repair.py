"""``cfcre retry`` and ``cfcre skip``: what an operator decides about one batch."""

from __future__ import annotations

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import printable

__all__ = ["retry", "skip"]

_stream = click.option("--stream", metavar="NAME", help="Stream, where a name is in several.")


@click.command()
@click.argument("batch")
@_stream
@common_options
def retry(common: Common, batch: str, stream: str | None) -> None:
    """Try a failed or rejected batch (hash, start of it, or name) again, counts at zero."""
    from cfcre.cli.home import open_ledger

    record = open_ledger(common.settings()).retry(batch, stream)
    click.echo(f"{record.stream}/{printable(record.name)} is tried again by the next 'cfcre watch'")


@click.command()
@click.argument("batch")
@click.option("--reason", default="", metavar="R", help="Why, for the ledger.")
@_stream
@common_options
def skip(common: Common, batch: str, stream: str | None, reason: str) -> None:
    """Give a waiting or failed batch up; the stream goes on without it."""
    from cfcre.cli.home import open_ledger

    record = open_ledger(common.settings()).skip(batch, stream, reason=reason)
    click.echo(f"{record.stream}/{printable(record.name)} is given up; the stream goes on")
