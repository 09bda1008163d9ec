"""``cfcre status``: every stream's tasks and waiting batches."""

from __future__ import annotations

from typing import Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import number, print_json, printable, table

__all__ = ["status"]


@click.command()
@click.option("--stream", metavar="NAME", help="Only this stream.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def status(common: Common, stream: str | None, as_json: bool) -> None:
    """Show what was learned, what runs, and what waits."""
    from cfcre.cli.home import open_ledger

    state = open_ledger(common.settings()).status(stream)
    if as_json:
        print_json(state)
        return
    if not state["streams"]:
        click.echo("no stream yet; 'cfcre submit FILE --stream NAME', then 'cfcre watch --once'")
    for found in state["streams"]:
        click.echo("\n".join(_stream_lines(found)))


def _stream_lines(found: dict[str, Any]) -> list[str]:
    from cfcre.config.names import is_documents_stream

    lines = [f"stream {found['name']}"]
    if found["tasks"]:
        figures = (
            ("entity F1", "relation F1")
            if is_documents_stream(found["name"])
            else ("average", "forgetting")
        )
        header = (
            *("task", "batch", "state", "relations", "read", "accepted", "quarantined"),
            *("version", *figures, "verdict", "seconds"),
        )
        lines += _indent(table(header, [_task_row(task) for task in found["tasks"]]))
    notes = [task for task in found["tasks"] if task["reason"]]
    lines += [
        f"  {printable(t['batch_name'])}: {t['reason']}: {printable(t['detail'] or '')}"
        for t in notes
    ]
    if found["pending"]:
        lines.append("  waiting")
        rows = [
            (printable(p["name"]), p["batch"][:12], number(p["sequence"]), printable(p["why"]))
            for p in found["pending"]
        ]
        lines += _indent(table(("batch", "hash", "sequence", "why"), rows))
    return [*lines, ""]


def _task_row(task: dict[str, Any]) -> tuple[str, ...]:
    rows = task["rows"]
    return (
        number(task["task"]),
        printable(task["batch_name"]),
        task["state"],
        str(len(task["relations"])),
        *(number(rows[name]) for name in ("read", "accepted", "quarantined")),
        task["model_version"] or "-",
        *_figures(task),
        task["verdict"] or "-",
        number(sum(task["seconds"].values()), 1) if task["seconds"] else "-",
    )


def _figures(task: dict[str, Any]) -> tuple[str, str]:
    """Of a relation task; of a task of documents its F1 figures."""
    if "scores" in task:
        scores = task["scores"] or {}
        return number(scores.get("entities")), number(scores.get("relations"))
    return number(task["average_accuracy"]), number(task["forgetting"])


def _indent(text: str) -> list[str]:
    return [f"  {line}" for line in text.split("\n")]
