"""``cfcre serve``: the champion over HTTP."""

from __future__ import annotations

import logging

import click

from cfcre.cli.options import Common, common_options

__all__ = ["serve"]


@click.command()
@click.option("--host", metavar="H", help="Interface to listen on [serving.host; 127.0.0.1].")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="P",
    help="TCP port; 0 takes a free one [serving.port; 5001].",
)
@common_options
def serve(common: Common, host: str | None, port: int | None) -> None:
    """Serve the champion in MLflow's scoring protocol, and follow it when it changes.

    POST /invocations answers rows; GET /ready says whether it can. Set CFCRE_SERVE_TOKEN to ask
    clients for a bearer token. SIGTERM and Ctrl-C finish what is in flight, then end.
    """
    # What a server does is its log; a command's own lines are not.
    logging.getLogger("cfcre").setLevel(logging.INFO)
    settings = common.settings({"serving.host": host, "serving.port": port})
    from cfcre.serving.server import serve as run

    run(settings)
