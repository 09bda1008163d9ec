"""``cfcre ui``: the MLflow UI over the embedded store."""

from __future__ import annotations

import os

import click

from cfcre.cli.options import Common, common_options

__all__ = ["ui"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@common_options
def ui(common: Common, host: str, port: int) -> None:
    """Serve the MLflow UI until Ctrl-C."""
    from cfcre.operations.tracking_store import open_tracker
    from cfcre.tracking.ui import ui_command

    settings = common.settings()
    command = ui_command(settings, host=host, port=port)
    # The store must have its tables before a server looks at it.
    open_tracker(settings).prepare()
    click.echo(f"MLflow UI: {command.url} (Ctrl-C ends it)")
    os.execve(command.argv[0], command.argv, command.env)
