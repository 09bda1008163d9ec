"""``cfcre demo``: the main job on three small batches, without network or accounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import number, table

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.data.demo_corpus import DemoBatch
    from cfcre.operations.ledger import Ledger

__all__ = ["demo", "submit"]

STREAM = "demo"
SENTENCE = "[Wanda Orsini] was born in {Calverton} on 3 May 1911."


@click.command()
@common_options
def demo(common: Common) -> None:
    """Learn three batches one after the other and show what became of them."""
    from cfcre.cli.home import open_ledger
    from cfcre.cli.watch import run_watch
    from cfcre.data.demo_corpus import generate

    settings = common.settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    batches = generate(settings.seed)
    click.echo(f"{len(batches)} batches are dropped one after the other; home is {settings.home}")
    for number_, batch in enumerate(batches, start=1):
        relations = sorted({example.relation for example in batch.examples})
        click.echo(
            f"\nbatch {number_}: {len(batch.examples) + len(batch.bad_rows)} rows, "
            f"{len(batch.bad_rows)} of them bad on purpose: {', '.join(relations)}"
        )
        submit(settings, batch, number_)
        run_watch(common, STREAM, "until_idle", 1.0)
    ledger = open_ledger(settings)
    _show_accuracy(ledger)
    _show_versions(settings)
    _show_places(settings, ledger)
    _show_prediction(settings)


def submit(settings: Settings, batch: DemoBatch, sequence: int) -> None:
    """Put a batch of the demonstration corpus into the inbox, as ``cfcre submit`` would."""
    from cfcre.data.files import write_bytes
    from cfcre.intake.store import open_store
    from cfcre.intake.submit import SubmitFile, submit_batch

    path = settings.home.absolute() / "demo" / f"{batch.name}.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.rows())
    write_bytes(path, text.encode("utf-8"))
    submit_batch(
        open_store(settings),
        [SubmitFile(path)],
        stream=STREAM,
        settings=settings,
        sequence=sequence,
        descriptions=batch.descriptions,
    )


def _learned(ledger: Ledger) -> list[dict[str, Any]]:
    from cfcre.operations.states import learned_tasks

    return learned_tasks(ledger, STREAM)


def _show_accuracy(ledger: Ledger) -> None:
    tasks = _learned(ledger)
    header = ("after task", *(f"on task {t['task']}" for t in tasks), "average", "forgetting")
    rows = [
        (
            str(t["task"]),
            *(number(a) for a in t["accuracy"]),
            *("-" for _ in range(len(tasks) - len(t["accuracy"]))),
            number(t["average_accuracy"]),
            number(t["forgetting"]),
        )
        for t in tasks
    ]
    click.echo("\naccuracy on the held-out rows of each task")
    click.echo(table(header, rows))
    counts = [t["rows"] for t in tasks]
    click.echo(
        f"\nrows read {sum(c['read'] for c in counts)} = accepted "
        f"{sum(c['accepted'] for c in counts)} + quarantined "
        f"{sum(c['quarantined'] for c in counts)} ('cfcre quarantine list' says why)"
    )


def _show_versions(settings: Settings) -> None:
    from cfcre.operations.tracking_store import open_tracker

    rows = [
        (
            v["version"],
            ", ".join(v["aliases"]) or "-",
            number(v["task"]),
            number(v["relations"]),
            number(v["average_accuracy"]),
        )
        for v in open_tracker(settings).versions()
    ]
    click.echo("\nregistered versions")
    click.echo(table(("version", "aliases", "task", "relations", "average"), rows))


def _show_places(settings: Settings, ledger: Ledger) -> None:
    for task in reversed(_learned(ledger)):
        report = ledger.batch(task["batch"], STREAM).facts.get("report")
        if report and Path(report).is_file():
            click.echo(f"\nreport of the last task: {report}")
            break
    home = f" --home {settings.home}" if str(settings.home) != ".cfcre" else ""
    click.echo(f"MLflow UI: cfcre ui{home}, then http://127.0.0.1:5000")


def _show_prediction(settings: Settings) -> None:
    from cfcre.cli.marks import parse_marked
    from cfcre.cli.predict import load_champion

    predictor, version = load_champion(settings)
    example = parse_marked(SENTENCE)
    best = predictor.predict([example], 1)[0][0]
    click.echo(
        f"\nversion {version} (the champion) reads {SENTENCE!r}:\n"
        f"  {example.head_text} → {example.tail_text}: {best.relation} "
        f"(probability {best.probability:.3f})"
    )
