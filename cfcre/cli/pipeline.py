"""``cfcre pipeline``: a pipeline as a file, as a run and as a recurring run of Kubeflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import printable

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.kubeflow.client import KubeflowClient
    from cfcre.operations.kubeflow.schedules import Schedule
    from cfcre.operations.ledger import BatchRecord, Ledger

__all__ = ["pipeline"]


@click.group()
def pipeline() -> None:
    """Work with the Kubeflow pipelines."""


@pipeline.command("compile")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.yaml")
@click.option(
    "--kubernetes-manifests",
    is_flag=True,
    help="Write the resources Pipeline and PipelineVersion for kubectl instead of the IR.",
)
@click.option(
    "--pipeline",
    "name",
    type=click.Choice(["continual-learning", "joint-extraction"]),
    default="continual-learning",
    show_default=True,
    help="Which one: relations of a stream, or the span model of its documents.",
)
@common_options
def compile_(common: Common, out: Path, kubernetes_manifests: bool, name: str) -> None:
    """Compile a pipeline.

    Image, GPU, sizes, times and names of secrets come from the settings pipeline and kubeflow.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise click.BadParameter(f"{out.name}: the file's name must end in .yaml", param_hint="OUT")
    from cfcre_pipelines.compile import compile_manifests, compile_pipeline

    settings = common.settings()
    if kubernetes_manifests:
        version = compile_manifests(out, settings, name)
        click.echo(f"{out} written: pipeline version {version}")
    else:
        compile_pipeline(out, settings, name)
        click.echo(f"{out} written")


@pipeline.command()
@click.option("--stream", required=True, metavar="NAME")
@click.option(
    "--batch", metavar="HASH", help="Content hash of the batch; default: the stream's next one."
)
@common_options
def submit(common: Common, stream: str, batch: str | None) -> None:
    """Submit a run to Kubeflow; a run for the same batch that is under way is not doubled.

    A stream of documents (STREAM.documents) is learned by joint-extraction, any other by
    continual-learning. Without --batch the ledger says which batch is next. Where it knows of none,
    the run looks into the inbox itself, and ends green when nothing is there.
    """
    from cfcre.cli.home import open_ledger
    from cfcre.operations.kubeflow.client import KubeflowClient
    from cfcre.operations.kubeflow.launcher import submit_attempt
    from cfcre.operations.kubeflow.runs import next_name
    from cfcre.operations.kubeflow.runs import submit as submit_run
    from cfcre_pipelines.compile import pipeline_of_stream, pipeline_package

    settings = common.settings()
    _check_stream(stream)
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    wanted = batch or _next_batch(ledger, stream)
    if wanted is not None:
        record = ledger.batch(wanted, stream)
        if record.settled or record.running:
            click.echo(_nothing_to_submit(record))
            return
    client = KubeflowClient(settings.kubeflow)
    package = pipeline_package(settings, pipeline_of_stream(stream))
    if wanted is not None:
        found = submit_attempt(client, ledger, package, settings, stream, wanted)
    else:
        found = submit_run(
            client,
            package,
            base=next_name(stream),
            stream=stream,
            batch="",
            settings=_travelling(settings),
            patient=False,
        )
    how = "submitted" if found.new else f"is {found.state.lower()} already; nothing was submitted"
    click.echo(f"run {found.name} {how}\n  {found.url}")


@pipeline.group()
def schedule() -> None:
    """Let Kubeflow start runs by the clock: recurring runs, by name."""


_NAME = click.option(
    "--name", metavar="NAME", help="Name of the recurring run [default cfcre-STREAM]."
)


@schedule.command("set")
@click.option("--stream", required=True, metavar="NAME")
@click.option(
    "--cron",
    required=True,
    metavar="'S M H D M W'",
    help="Six fields, seconds first: '0 */10 * * * *' is every ten minutes.",
)
@click.option("--disabled", is_flag=True, help="Make it, but let it start nothing.")
@_NAME
@common_options
def set_(common: Common, stream: str, cron: str, disabled: bool, name: str | None) -> None:
    """Create the recurring run, or change it to what is given here.

    Its runs learn the stream's next batch, one run at a time; a time that was missed is not made up
    for. Doing it twice changes nothing.
    """
    from cfcre.operations.kubeflow.schedules import check_cron, set_schedule
    from cfcre_pipelines.compile import pipeline_of_stream, pipeline_package

    _check_stream(stream)
    check_cron(cron)
    settings = common.settings()
    made, change = set_schedule(
        _client(settings),
        pipeline_package(settings, pipeline_of_stream(stream)),
        name=name or f"cfcre-{stream}",
        stream=stream,
        cron=cron,
        settings=_travelling(settings),
        enabled=not disabled,
    )
    click.echo(f"{change}: {_line(made)}")


@schedule.command()
@click.option("--stream", metavar="NAME", help="Stands for the default name.")
@_NAME
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@common_options
def show(common: Common, stream: str | None, name: str | None, as_json: bool) -> None:
    """Show the recurring run."""
    from cfcre.operations.kubeflow.schedules import show_schedule

    wanted = _schedule_name(stream, name)
    found = show_schedule(_client(common.settings()), wanted)
    if as_json:
        click.echo(json.dumps([schedule.to_json() for schedule in found], indent=2))
        return
    for schedule in found:
        click.echo(_line(schedule))
    if not found:
        click.echo(f"there is no recurring run {printable(wanted)}")


@schedule.command()
@click.option("--stream", metavar="NAME", help="Stands for the default name.")
@_NAME
@common_options
def remove(common: Common, stream: str | None, name: str | None) -> None:
    """Remove the recurring run; runs that it started go on."""
    from cfcre.operations.kubeflow.schedules import remove_schedule

    wanted = _schedule_name(stream, name)
    count = remove_schedule(_client(common.settings()), wanted)
    said = "removed" if count else "was not there"
    click.echo(f"recurring run {printable(wanted)} {said}")


def _client(settings: Settings) -> KubeflowClient:
    from cfcre.operations.kubeflow.client import KubeflowClient

    return KubeflowClient(settings.kubeflow)


def _travelling(settings: Settings) -> str:
    return json.dumps(settings.portable())


def _check_stream(stream: str) -> None:
    from cfcre.intake.store import NAME

    if not NAME.fullmatch(stream):
        raise click.BadParameter(
            f"{stream!r}: use 1 to 128 letters, digits, '.', '_' and '-', the first a letter or "
            "digit",
            param_hint="--stream",
        )


def _schedule_name(stream: str | None, name: str | None) -> str:
    if (stream is None) == (name is None):
        raise click.UsageError("give either --stream or --name")
    return name or f"cfcre-{stream}"


def _next_batch(ledger: Ledger, stream: str) -> str | None:
    """What the stream's next run would take; a batch that runs now stands for itself."""
    for activity in ledger.activity(stream):
        return activity.claimable or (activity.live.batch_hash if activity.live else None)
    return None


def _nothing_to_submit(batch: BatchRecord) -> str:
    again = "; 'cfcre retry' brings it back" if batch.state == "failed" else ""
    return (
        f"{batch.stream}: batch {printable(batch.name)} is {batch.state} already; nothing was "
        f"submitted{again}"
    )


def _line(schedule: Schedule) -> str:
    state = "enabled" if schedule.enabled else "disabled"
    return (
        f"recurring run {printable(schedule.name)}: stream {printable(schedule.stream)}, cron "
        f"'{printable(schedule.cron)}', {state}, at most {schedule.max_concurrency} run at a time, "
        f"{'catches up' if schedule.catch_up else 'no catch-up'} ({schedule.recurring_run_id})"
    )
