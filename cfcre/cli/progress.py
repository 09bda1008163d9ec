"""What ``cfcre watch`` shows: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.output import number, printable

if TYPE_CHECKING:
    from cfcre.operations.events import Event
    from cfcre.operations.ledger import BatchRecord, Ledger
    from cfcre.operations.local_run import RunResult
    from cfcre.operations.reconciler import ReconcileReport

__all__ = ["Reporter", "task_lines"]

_STAGE_WIDTH = 18


class Reporter:
    """Shows runs as they happen.

    Args:
        ledger: Asked for the outcome when a run has ended.
        bars: Draw progress bars; None asks whether the error stream is a terminal.
    """

    def __init__(self, ledger: Ledger, *, bars: bool | None = None) -> None:
        self._ledger = ledger
        self._bars = sys.stderr.isatty() if bars is None else bars
        self._bar: Any = None
        # Batches whose run was submitted and goes on elsewhere, with the attempt and state last
        # shown. A local launcher tells the end itself.
        self._followed: dict[tuple[str, str], tuple[int, str]] = {}
        self._ended: set[tuple[str, str]] = set()

    def on_start(self, stream: str, batch_hash: str) -> None:
        """A run begins."""
        name = self._ledger.batch(batch_hash, stream).name
        click.echo(f"{stream}: batch {printable(name)}")

    def on_event(self, event: Event) -> None:
        """A stage reports."""
        if event.kind == "start":
            self._open_bar(event.stage)
        elif event.kind == "progress":
            self._move_bar(event)
        else:
            self._close_bar()
            self._line(event)

    def on_end(self, stream: str, batch_hash: str, result: RunResult) -> None:
        """A run has ended; the ledger knows how."""
        self._close_bar()
        self._ended.add((stream, batch_hash))
        # A run that was killed is settled here rather than at the next look.
        self._ledger.recover(stream)
        batch = self._ledger.batch(batch_hash, stream)
        for line in task_lines(batch):
            click.echo(line)
        if batch.state in ("seen", "failed"):
            click.echo(f"  the run's log: {result.log}")

    def on_report(self, report: ReconcileReport) -> None:
        """A reconcile step is over."""
        for batch in report.rejected:
            for line in task_lines(batch):
                click.echo(line)
        for batch in report.duplicates:
            click.echo(
                f"{batch.stream}: the content of batch {printable(batch.name)} was dropped again; "
                f"it is {batch.state} and was not learned twice"
            )
        for outcome in report.settled:
            if outcome.ending == "interruption":
                click.echo(f"{outcome.stream}: run {outcome.run_name} had vanished; trying again")
        self._follow(report)

    def _follow(self, report: ReconcileReport) -> None:
        """Tell how runs that go on elsewhere stand, where that has changed."""
        for key in [*report.launched, *report.under_way]:
            if key not in self._ended and key not in self._followed:
                batch = self._ledger.batch(key[1], key[0])
                self._followed[key] = (batch.attempt, batch.state)
        self._ended.clear()
        for key, shown in list(self._followed.items()):
            batch = self._ledger.batch(key[1], key[0])
            now = (batch.attempt, batch.state)
            if now == shown:
                continue
            self._followed[key] = now
            if batch.running:
                click.echo(f"{batch.stream}: batch {printable(batch.name)} is {batch.state}")
                continue
            for line in task_lines(batch):
                click.echo(line)
            del self._followed[key]

    def _line(self, event: Event) -> None:
        facts = dict(event.facts)
        if event.kind == "error":
            click.echo(f"  {event.stage:<{_STAGE_WIDTH}} failed: {printable(facts['message'])}")
            return
        seconds = facts.pop("seconds", 0.0)
        facts.pop("work_seconds", None)  # for benchmarks
        about = _about(event.stage, facts)
        click.echo(f"  {event.stage:<{_STAGE_WIDTH}} {seconds:6.1f} s  {about}".rstrip())

    def _open_bar(self, stage: str) -> None:
        self._close_bar()
        if self._bars:
            from tqdm import tqdm

            layout = "  {desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}]"
            self._bar = tqdm(
                total=1,
                desc=f"{stage:<{_STAGE_WIDTH}}",
                leave=False,
                file=sys.stderr,
                bar_format=layout,
                dynamic_ncols=True,
            )

    def _move_bar(self, event: Event) -> None:
        if self._bar is None:
            return
        done, total = int(event.facts["done"]), int(event.facts["total"])
        if self._bar.total != total:
            self._bar.reset(total=total)
        self._bar.n = done
        self._bar.refresh()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def task_lines(batch: BatchRecord) -> list[str]:
    """How a batch stands, for the end of its run."""
    where = f"{batch.stream}: batch {printable(batch.name)}"
    why = f" ({batch.reason}: {printable(batch.detail or '')})" if batch.reason else ""
    if batch.state in ("promoted", "held"):
        total = sum(batch.seconds.values())
        verb = "is the champion" if batch.state == "promoted" else "is held back"
        facts = batch.facts
        lines = [
            f"{batch.stream}: task {batch.task} learned in {total:.0f} s; "
            f"version {batch.model_version} {verb}{why}",
            f"  {_figures(facts)}",
        ]
        if batch.state == "held" and facts.get("gate"):
            lines.append(f"  the gate: {printable(str(facts['gate']))}")
        return lines
    if batch.state == "seen":
        return [f"{where} will be tried again{why}"]
    if batch.state in ("rejected", "failed"):
        hint = "" if batch.state == "rejected" else "; 'cfcre retry' or 'cfcre skip' decides"
        return [f"{where} is {batch.state}{why}{hint}"]
    return [f"{where} is {batch.state}"]


def _figures(facts: Mapping[str, Any]) -> str:
    """What a learned task is measured by: F1 for documents, accuracy for relations."""
    scores = facts.get("scores")
    if isinstance(scores, Mapping):
        return (
            f"held-out documents: entity F1 {number(scores.get('entities'))}"
            f" · relation F1 {number(scores.get('relations'))}"
        )
    accuracy = " ".join(number(a) for a in facts.get("accuracy") or [])
    return (
        f"accuracy by task {accuracy} · average {number(facts.get('average_accuracy'))}"
        f" · forgetting {number(facts.get('forgetting'))}"
    )


def _about(stage: str, facts: Mapping[str, Any]) -> str:
    if stage == "claim":
        if not facts.get("has_task"):
            return "nothing to do"
        again = f", attempt {facts['attempt']}" if facts.get("attempt", 1) > 1 else ""
        return f"task {facts['task']}{again}"
    if stage == "settle":
        return str(facts.get("state", ""))
    parts = []
    for name, value in facts.items():
        shown = number(value) if isinstance(value, float) else printable(str(value))
        parts.append(f"{name} {shown}")
    return ", ".join(parts)
