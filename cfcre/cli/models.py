"""``cfcre models``, ``promote`` and ``rollback``: versions, and which one serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import number, print_json, printable, table

if TYPE_CHECKING:
    from cfcre.operations.ledger import Promotion

__all__ = ["models", "promote", "rollback"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def models(common: Common, as_json: bool) -> None:
    """List the registered versions with their aliases, and how the champion moved."""
    from cfcre.cli.home import open_ledger
    from cfcre.operations.tracking_store import open_tracker

    settings = common.settings()
    versions = open_tracker(settings).versions()
    moves = open_ledger(settings).promotions()
    if as_json:
        print_json({"versions": versions, "promotions": [move.to_json() for move in moves]})
        return
    if not versions:
        click.echo("no version is registered yet; 'cfcre watch' registers one a task")
        return
    rows = [
        (
            v["version"],
            ", ".join(v["aliases"]) or "-",
            v["stream"] or "-",
            number(v["task"]),
            printable(v["batch_name"] or "-"),
            number(v["relations"]),
            number(v["average_accuracy"]),
            number(v["forgetting"]),
            v["verdict"] or "-",
        )
        for v in versions
    ]
    header = ("version", "aliases", "stream", "task", "batch", "relations", "average", "forgetting")
    click.echo(table((*header, "verdict"), rows))
    if moves:
        click.echo()
        moved = [
            (
                f"{m.at:%Y-%m-%d %H:%M:%S}",
                m.kind,
                m.old_version or "-",
                m.new_version,
                printable(m.actor),
                printable(m.reason),
            )
            for m in moves
        ]
        click.echo(table(("champion moved", "by", "from", "to", "actor", "reason"), moved))


@click.command()
@click.argument("version")
@click.option("--reason", required=True, metavar="R", help="Why; kept in the ledger.")
@common_options
def promote(common: Common, version: str, reason: str) -> None:
    """Make VERSION the champion, whatever the gate said."""
    from cfcre.cli.home import actor, open_ledger
    from cfcre.operations.promotion import promote as move_champion
    from cfcre.operations.tracking_store import open_tracker

    settings = common.settings()
    move = move_champion(
        open_ledger(settings), open_tracker(settings), version, reason=reason, actor=actor()
    )
    _report(move)


@click.command()
@click.option("--reason", required=True, metavar="R", help="Why; kept in the ledger.")
@common_options
def rollback(common: Common, reason: str) -> None:
    """Go back to the version that served before the champion."""
    from cfcre.cli.home import actor, open_ledger
    from cfcre.operations.promotion import rollback as move_back
    from cfcre.operations.tracking_store import open_tracker

    settings = common.settings()
    _report(move_back(open_ledger(settings), open_tracker(settings), reason=reason, actor=actor()))


def _report(move: Promotion) -> None:
    before = f", was version {move.old_version}" if move.old_version else ""
    click.echo(f"the champion is version {move.new_version}{before}")
