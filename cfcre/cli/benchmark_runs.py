"""What ``cfcre benchmark`` does: read the options, run what is missing, write the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.benchmarking import plan as planning
from cfcre.benchmarking.dataset import HeldOut, Selection
from cfcre.benchmarking.loading import load_dataset
from cfcre.benchmarking.orders import order_seed
from cfcre.benchmarking.plan import PlannedRun
from cfcre.benchmarking.report import Protocol, write_figures, write_tables
from cfcre.benchmarking.scoring import micro_accuracy
from cfcre.benchmarking.study import Observer, RunResult, Study
from cfcre.cli.output import printable
from cfcre.config import Settings
from cfcre.errors import ConfigurationError
from cfcre.methods.registry import METHODS

if TYPE_CHECKING:
    from cfcre.operations.benchmark_tracking import BenchmarkTracking

__all__ = ["Both", "Lines", "run", "selection"]

_CONNECTIONS = {"--store", "--endpoint-url", "--tracking-uri", "--ledger", "--home", "--config"}
_URLS = ("store.", "ledger.", "tracking.")


def selection(
    held_out: str,
    train_rows: int | None,
    held_out_rows: str | None,
    tasks: int | None,
    per_task: int | None,
) -> Selection:
    """Read the options that choose a part of the data.

    Raises:
        ConfigurationError: One is out of bounds.
    """
    for option, value in (
        ("--train-per-relation", train_rows),
        ("--tasks", tasks),
        ("--relations-per-task", per_task),
    ):
        if value is not None and value < 1:
            raise ConfigurationError(f"{option} takes a whole number from 1, got {value}")
    first, stop = 0, None
    if held_out_rows is not None:
        match = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,9})", held_out_rows)
        first, stop = (int(match[1] or 0), int(match[2])) if match else (0, 0)
        if stop <= first:
            raise ConfigurationError(
                "--eval-per-relation takes a number of rows from 1, or A:B with A below B; "
                f"got {held_out_rows!r}"
            )
    kind: HeldOut = "test" if held_out == "test" else "validation"
    return Selection(kind, train_rows, first, stop, tasks, per_task)


def run(
    settings_for: Callable[[Sequence[str]], Settings],
    *,
    dataset: str,
    data: Path | None,
    methods: str,
    orders: str,
    selection: Selection,
    out: Path,
    ablations: bool,
    sweep: str,
    default: str | None,
    rerun: bool,
    finished_only: bool,
    mlflow: bool,
    command: Sequence[str],
) -> None:
    """Run what is not finished yet, then write tables, figures and the report.

    Raises:
        ConfigurationError: An option is wrong, or only finished runs are wanted and there is none.
    """
    if rerun and finished_only:
        raise ConfigurationError("--rerun runs what --finished-only passes over; give one of them")
    names = _methods(methods)
    chosen = planning.variants(names)
    settings = settings_for(())
    best = default or (settings.method.name if settings.method.name in names else names[0])
    if best not in names:
        raise ConfigurationError(f"--default {best!r} is not among --methods {', '.join(names)}")
    chosen += planning.ablations() if ablations else []
    chosen += planning.sweeps(sweep) if sweep else []
    numbers = _orders(orders)
    loaded = load_dataset(dataset, data)
    study = Study(out, loaded, selection, settings_for, rerun=rerun, run_missing=not finished_only)
    planned = planning.plan_runs(chosen, numbers)
    with study.lock():
        streams = [study.stream(order) for order in numbers]
        about = Protocol(
            loaded, streams, selection, best, settings.seed, len(planned), _without_urls(command)
        )
        lines = Lines(len(planned), len(streams[0].tasks))
        with _tracking(mlflow, settings, out, about) as tracking:
            results: list[RunResult] = []
            for result in study.run(planned, Both(lines, tracking) if tracking else lines):
                results.append(result)
                if not result.before:
                    # An interrupted benchmark leaves the tables of what it has finished.
                    write_tables(results, out, about)
            if not results:
                raise ConfigurationError(
                    f"of {len(planned)} planned runs none is finished in {out}; run them without "
                    "--finished-only, or give the options that its runs were made with"
                )
            figures = write_figures(results, out, best)
            files = [*write_tables(results, out, about), *figures]
            for path in files:
                click.echo(str(path))
            if tracking:
                tracking.finish(files)


@contextmanager
def _tracking(
    wanted: bool, settings: Settings, out: Path, about: Protocol
) -> Iterator[BenchmarkTracking | None]:
    """The log in MLflow; None where it is not wanted or not installed."""
    from cfcre.operations.benchmark_tracking import BenchmarkTracking, mlflow_installed

    if not wanted:
        yield None
        return
    if not mlflow_installed():
        click.echo("MLflow is not installed: nothing is logged there")
        yield None
        return
    chosen = {key: value for key, value in asdict(about.selection).items() if value is not None}
    params = {"dataset": about.dataset.name, "seed": about.seed, "default": about.default, **chosen}
    tracking = BenchmarkTracking(settings, out, about.dataset.name, params)
    try:
        yield tracking
    except BaseException as error:
        tracking.fail("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


class Both:
    """Tells two observers."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._observers = (first, second)

    def run_started(self, run: PlannedRun, key: str, settings: Settings) -> None:
        """A run begins."""
        for observer in self._observers:
            observer.run_started(run, key, settings)

    def task_done(self, run: PlannedRun, key: str, record: Mapping[str, Any]) -> None:
        """A task is done."""
        for observer in self._observers:
            observer.task_done(run, key, record)

    def run_done(self, result: RunResult) -> None:
        """A run is done."""
        for observer in self._observers:
            observer.run_done(result)


def _without_urls(command: Sequence[str]) -> list[str]:
    """The command line without what connects: a URL may hold a password."""
    shown: list[str] = []
    rest = iter(command)
    for word in rest:
        if word.split("=")[0] in _CONNECTIONS:
            if "=" not in word:
                next(rest, None)
        elif word == "--set":
            value = next(rest, "")
            if not value.startswith(_URLS):
                shown += [word, value]
        elif not word.startswith(tuple(f"--set={url}" for url in _URLS)):
            shown.append(word)
    return shown


def _methods(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    return list(METHODS) if not names or names == ["all"] else names


def _orders(text: str) -> list[int]:
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise ConfigurationError(
                f"--orders takes numbers and ranges, as in 0-4 or 0,2; got {text!r}"
            )
        for order in range(int(match[1]), int(match[2] or match[1]) + 1):
            order_seed(order)
            found[order] = None
    return list(found)


class Lines:
    """One line a task and a run.

    Args:
        total: Planned runs.
        tasks: Tasks of a run.
    """

    def __init__(self, total: int, tasks: int) -> None:
        self._total, self._tasks, self._number = total, tasks, 0

    def run_started(self, run: PlannedRun, key: str, settings: Settings) -> None:
        """A run begins."""
        click.echo(f"run {self._number + 1}/{self._total} {printable(run.name)}")

    def task_done(self, run: PlannedRun, key: str, record: Mapping[str, Any]) -> None:
        """A task is done."""
        seconds = record["seconds"]
        accuracy = 100 * micro_accuracy(record["scores"])
        click.echo(
            f"  task {record['task']}/{self._tasks}: accuracy {accuracy:.2f}, learned in "
            f"{seconds['learning']:.1f} s, scored in {seconds['scoring']:.1f} s, "
            f"{record['steps']} steps"
        )

    def run_done(self, result: RunResult) -> None:
        """A run is done."""
        self._number += 1
        last = 100 * micro_accuracy(result.records[-1]["scores"])
        how = ", finished before" if result.before else ""
        how += ", by other code" if result.other_code else ""
        click.echo(
            f"run {self._number}/{self._total} {printable(result.run.name)}: {last:.2f}{how}"
        )
