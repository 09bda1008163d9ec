"""``cfcre migrate``: the schemas of the ledger and of MLflow's database, brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cfcre.cli.options import Common, common_options

if TYPE_CHECKING:
    from cfcre.operations.databases import SchemaState

__all__ = ["migrate"]


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 where a schema is not current.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86400),
    default=0,
    metavar="SECONDS",
    help="Wait so long for a database to come up; with --check, also to be migrated.",
)
@common_options
def migrate(common: Common, check: bool, wait: float) -> None:
    """Create or upgrade the ledger's tables, and MLflow's where it has no server.

    Run it as the owner of the tables. Several at once are safe, and again changes nothing. Make a
    backup first: there is no way back but one.
    """
    from cfcre.errors import CfcreError
    from cfcre.operations.databases import check_databases, migrate_databases, wait_for

    settings = common.settings()
    if not check:
        for state in wait_for(lambda: migrate_databases(settings), wait):
            click.echo(f"{state.name} {state.place}: {_done(state)}")
        return
    states = wait_for(
        lambda: check_databases(settings), wait, done=lambda found: all(s.current for s in found)
    )
    for state in states:
        click.echo(f"{state.name} {state.place}: {_seen(state)}")
    if not all(state.current for state in states):
        raise CfcreError("a schema is not the one that this version needs: run 'cfcre migrate'")


def _done(state: SchemaState) -> str:
    if state.current:
        return f"is at {state.needed}, nothing to do"
    return f"migrated from {state.found or 'nothing'} to {state.needed}"


def _seen(state: SchemaState) -> str:
    if state.current:
        return f"is at {state.needed}, current"
    return f"is at {state.found or 'no revision'}, needs {state.needed}"
