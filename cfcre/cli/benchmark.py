"""``cfcre benchmark``: methods side by side on known data."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from cfcre.cli.options import Common, common_options

__all__ = ["benchmark"]


@click.command()
@click.option(
    "--dataset", required=True, metavar="NAME", help="fewrel, tacred, or a file or folder of rows."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the data set's own files.",
)
@click.option("--methods", default="", metavar="A,B", help="Methods, or all [default: all].")
@click.option("--orders", default="0-4", show_default=True, metavar="A-B", help="Task orders.")
@click.option("--tasks", type=int, metavar="N", help="The first N tasks only.")
@click.option("--relations-per-task", type=int, metavar="N", help="Relations of a task.")
@click.option("--train-per-relation", type=int, metavar="N", help="The first N training rows.")
@click.option(
    "--eval-per-relation", metavar="N|A:B", help="The first N held-out rows, or rows A to B."
)
@click.option(
    "--eval",
    "held_out",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="Rows to score.",
)
@click.option("--encoder", metavar="NAME", help="compact, paper, a hub name or a path.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=int, metavar="N", help="Seed of every run.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Results."
)
@click.option("--ablations", is_flag=True, help="Also cf-cre with one of its losses, with neither.")
@click.option(
    "--sweep", multiple=True, metavar="KEY=V,V", help="Also values of lambda1 and gamma1."
)
@click.option("--default", metavar="NAME", help="Method that others are compared with.")
@click.option("--rerun", is_flag=True, help="Run again what other code has made.")
@click.option("--finished-only", is_flag=True, help="Run nothing: tables of what is finished.")
@click.option("--no-mlflow", is_flag=True, help="Log nothing to MLflow.")
@common_options
def benchmark(
    common: Common,
    dataset: str,
    data: Path | None,
    methods: str,
    orders: str,
    tasks: int | None,
    relations_per_task: int | None,
    train_per_relation: int | None,
    eval_per_relation: str | None,
    held_out: str,
    encoder: str | None,
    device: str | None,
    seed: int | None,
    out: Path,
    ablations: bool,
    sweep: tuple[str, ...],
    default: str | None,
    rerun: bool,
    finished_only: bool,
    no_mlflow: bool,
) -> None:
    """Run methods over the same streams of tasks and write tables, figures and a report to OUT.

    What is finished is not run again; a run that was interrupted goes on at the task it was in.
    """
    from cfcre.cli import benchmark_runs as runs

    given = {"encoder.name": encoder, "compute.device": device, "seed": seed}
    runs.run(
        lambda extra: replace(common, assignments=(*common.assignments, *extra)).settings(given),
        dataset=dataset,
        data=data,
        methods=methods,
        orders=orders,
        selection=runs.selection(
            held_out, train_per_relation, eval_per_relation, tasks, relations_per_task
        ),
        out=out,
        ablations=ablations,
        sweep=",".join(sweep),
        default=default,
        rerun=rerun,
        finished_only=finished_only,
        mlflow=not no_mlflow,
        command=sys.argv[1:],
    )
