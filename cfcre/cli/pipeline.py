"""``cfcre pipeline compile``: the pipeline as a file for Kubeflow."""

from __future__ import annotations

from pathlib import Path

import click

from cfcre.cli.options import Common, common_options

__all__ = ["pipeline"]


@click.group()
def pipeline() -> None:
    """Work with the Kubeflow pipeline."""


@pipeline.command("compile")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.yaml")
@common_options
def compile_(common: Common, out: Path) -> None:
    """Compile the pipeline continual-learning; image, GPU and resources come from the settings."""
    if out.suffix not in (".yaml", ".yml"):
        raise click.BadParameter(f"{out.name}: the file's name must end in .yaml", param_hint="OUT")
    from cfcre_pipelines.compile import compile_pipeline

    compile_pipeline(out, common.settings().pipeline)
    click.echo(f"{out} written")
