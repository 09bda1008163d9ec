"""``cfcre run-task``: one task without ledger or Kubeflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import number
from cfcre.cli.submit import relation_names, selection_options

__all__ = ["run_task"]


@click.command("run-task")
@click.option(
    "--state-in", type=click.Path(path_type=Path), metavar="DIR", help="State to go on from."
)
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="FILE[@SPLIT]",
    help="File of the batch; may be given often.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR")
@selection_options
@common_options
def run_task(
    common: Common,
    state_in: Path | None,
    data: tuple[str, ...],
    out: Path,
    format_: str | None,
    relations: str | None,
    max_per_relation: str | None,
) -> None:
    """Learn one task in this process, without ledger, MLflow or Kubeflow.

    OUT then holds the learner state, evaluation.json and report.html; give it to --state-in for
    the next task. Its comparison is with the state before, which stands for the champion.
    """
    from cfcre.intake.submit import parse_file, parse_limits
    from cfcre.operations.single_task import run_single_task

    bar = _Bar()
    try:
        result = run_single_task(
            state_in,
            [parse_file(text) for text in data],
            out,
            common.settings(),
            format=format_,
            relations=relation_names(relations),
            limits=parse_limits(max_per_relation) if max_per_relation is not None else None,
            progress=bar,
        )
    finally:
        bar.close()
    counts = result.counts
    click.echo(
        f"rows read {counts['read']} = accepted {counts['accepted']} + quarantined "
        f"{counts['quarantined']}"
    )
    for reason, count in result.by_reason.items():
        click.echo(f"  {reason}: {count}")
    for name, seconds in result.seconds.items():
        click.echo(f"  {name:<14} {seconds:6.1f} s")
    evaluation = result.evaluation
    accuracy = " ".join(number(a) for a in evaluation["accuracy"])
    click.echo(
        f"accuracy by task {accuracy} · average {number(evaluation['average_accuracy'])}"
        f" · forgetting {number(evaluation['forgetting'])}"
    )
    click.echo(f"the gate would say {result.verdict['verdict']}: {result.verdict['reason']}")
    click.echo(f"state: {result.state}\nreport: {result.report}")


class _Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, phase: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if self._bar is None or self._bar.desc != phase or self._bar.total != total:
            self.close()
            self._bar = tqdm(total=total, desc=phase, leave=False, file=sys.stderr)
        self._bar.n = done
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
