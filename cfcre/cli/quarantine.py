"""``cfcre quarantine``: rows that were not learned, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import print_json, printable, table

__all__ = ["quarantine"]


@click.group()
def quarantine() -> None:
    """Look at rows that were not learned."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def list_(common: Common, as_json: bool) -> None:
    """List the batches with their counts; accepted + quarantined = read."""
    from dataclasses import asdict

    from cfcre.intake.quarantine import list_quarantine
    from cfcre.intake.store import open_store

    entries = list_quarantine(open_store(common.settings()))
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        click.echo("no batch has been validated yet")
        return
    rows = [
        (
            e.stream,
            e.batch_name or "-",
            e.batch_hash[:12],
            e.counts.get("read", "-"),
            e.counts.get("accepted", "-"),
            e.counts.get("quarantined", "-"),
            ", ".join(f"{reason} {count}" for reason, count in e.by_reason.items()),
        )
        for e in entries
    ]
    header = ("stream", "batch", "hash", "read", "accepted", "quarantined", "reasons")
    click.echo(table(header, rows))


@quarantine.command()
@click.argument("batch")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, all rows.")
@common_options
def show(common: Common, batch: str, limit: int, as_json: bool) -> None:
    """Show the quarantined rows of a batch (hash, start of it, or name), with their reasons."""
    from dataclasses import asdict

    from cfcre.intake.quarantine import read_quarantine
    from cfcre.intake.store import open_store

    entry, rows = read_quarantine(open_store(common.settings()), batch)
    if as_json:
        for row in rows:
            click.echo(json.dumps(asdict(row)))
        return
    click.echo(f"{entry.stream}/{entry.batch_name or entry.batch_hash[:12]}: {len(rows)} rows")
    for row in rows[:limit]:
        click.echo(f"{printable(row.source)}  {row.reason}: {printable(row.detail)}")
        click.echo(f"    {_short(json.dumps(row.raw, ensure_ascii=False))}")
    if len(rows) > limit:
        click.echo(f"... and {len(rows) - limit} more; --limit N, --json or 'export' give all")


@quarantine.command()
@click.argument("batch")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common_options
def export(common: Common, batch: str, file: Path) -> None:
    """Write the quarantined rows as they were given, one JSON line each, to repair and submit."""
    from cfcre.data.files import write_bytes
    from cfcre.intake.quarantine import read_quarantine
    from cfcre.intake.rows import json_line
    from cfcre.intake.store import open_store

    _, rows = read_quarantine(open_store(common.settings()), batch)
    write_bytes(file, b"".join(json_line(row.raw) for row in rows))
    click.echo(f"{len(rows)} rows written to {file}")


def _short(text: str, width: int = 160) -> str:
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"
