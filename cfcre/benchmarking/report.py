"""All files of a benchmark: tables, figures, and the page that puts them together.

``results.csv``, ``table1.md``, ``table2.md``, ``figure2.*`` and ``accuracy.*`` are the same for the
same results; what was measured with a clock is in ``speed.md``, and in columns of ``results.csv``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfcre.benchmarking.dataset import Dataset, Selection, Stream
from cfcre.benchmarking.drawing import accuracy_curves, sweep_figure, sweep_points
from cfcre.benchmarking.figures_of_runs import mean_and_deviation
from cfcre.benchmarking.orders import order_seed
from cfcre.benchmarking.scoring import SIMILAR
from cfcre.benchmarking.speed import speed_table
from cfcre.benchmarking.study import RunResult
from cfcre.benchmarking.tables import accuracy_table, paired_table, results_csv, summary_table
from cfcre.data.files import write_bytes

__all__ = ["Protocol", "write_figures", "write_tables"]

Results = Sequence[RunResult]


@dataclass(frozen=True)
class Protocol:
    """How results came about, for the report.

    Attributes:
        dataset: The data.
        streams: The tasks of each order.
        selection: Which part of the data.
        default: Method that others are compared with.
        seed: Of every run.
        planned: Runs that were asked for.
        command: Command line, without connections.
    """

    dataset: Dataset
    streams: Sequence[Stream]
    selection: Selection
    default: str
    seed: int
    planned: int
    command: Sequence[str]


def write_figures(results: Results, folder: Path, default: str) -> list[Path]:
    """Draw the pictures; returns the files."""
    methods = _group(results, "method")
    return [
        *(accuracy_curves(methods, default, folder / "accuracy.png") if methods else ()),
        *sweep_figure(results, folder / "figure2.png"),
    ]


def write_tables(results: Results, folder: Path, about: Protocol) -> list[Path]:
    """Write the tables and ``report.md``; returns the files.

    Args:
        results: What is finished.
        folder: Where to write; pictures that are there are shown in the report.
        about: How the results came about.
    """
    methods, ablations = _group(results, "method"), _group(results, "ablation")
    texts = {"results.csv": results_csv(results)}
    if methods:
        texts["table1.md"] = "\n".join(
            [
                accuracy_table(methods),
                summary_table(methods, about.default),
                paired_table(methods, about.default),
            ]
        )
    if ablations:
        texts["table2.md"] = "\n".join(
            [accuracy_table(ablations), paired_table(ablations, "emar-aca", against_default=True)]
        )
    swept = "\n".join(_sweeps(results))
    if swept:
        texts["sweeps.md"] = swept
    texts["speed.md"] = speed_table([*methods, *ablations] or results)
    texts["report.md"] = "\n".join(_page(results, texts, folder, about)) + "\n"
    for name, text in texts.items():
        write_bytes(folder / name, text.encode("utf-8"))
    return [folder / name for name in texts]


def _page(results: Results, texts: dict[str, str], folder: Path, about: Protocol) -> Iterator[str]:
    yield f"# Benchmark: {about.dataset.name}\n"
    yield f"```sh\ncfcre {shlex.join(about.command)}\n```\n"
    if len(results) < about.planned:
        yield f"**Not finished: {len(results)} of {about.planned} runs are.**\n"
    stale = sorted({r.run.variant.label for r in results if r.other_code})
    if stale:
        yield (
            f"**Made with other code than the present: {', '.join(stale)}.** `--rerun` runs them "
            "again.\n"
        )
    yield from _protocol(about)
    if "table1.md" in texts:
        yield "## Accuracy after each task, forgetting, similar relations, paired comparison\n"
        yield (
            "Right rows / rows over the held-out rows of all tasks so far, among all relations "
            'seen so far, in %; mean ± standard deviation (n - 1) over the orders. "mean over '
            "tasks\" is the mean of the tasks' own accuracies after the last task. Forgetting: "
            "mean over earlier tasks of best accuracy so far - accuracy now. Similar relations: "
            f"those whose prototype has a cosine above {SIMILAR} with another relation's, after "
            "the last task, by the method's own prototypes, and by those of the default, which "
            "gives every method the same rows; their number is given order by order. Differences "
            f"are `{about.default}` minus the other method after the last task, in points, with "
            "Student's 95 % interval over the orders.\n"
        )
        yield texts["table1.md"]
    if (folder / "accuracy.png").is_file():
        yield "![Accuracy after each task, a line a method](accuracy.png)\n"
    if "table2.md" in texts:
        yield "## Ablations\n"
        yield (
            "`+CL` has L_cl without L_fl, `+FL` has L_fl without L_cl, `emar-aca` neither. "
            "Differences are the row minus `emar-aca`.\n"
        )
        yield texts["table2.md"]
    if "sweeps.md" in texts:
        yield "## Sweeps\n"
        yield texts["sweeps.md"]
        if (folder / "figure2.png").is_file():
            yield "![Accuracy over λ1 and γ1](figure2.png)\n"
    yield "## Speed\n"
    yield (
        "Learning is augmentation, training, memory selection and consolidation, by the clock and "
        "in seconds of processor time of all threads; the two part where a machine has other work. "
        "Scoring is the prediction of all held-out rows so far. Share of peak: operations of the "
        "encoder's matrix products, padding included, a second of learning by the clock, against "
        "a large square product in the precision of training, measured in the same process.\n"
    )
    yield texts["speed.md"]
    yield from _machines(results)
    yield from _codes(results)


def _protocol(about: Protocol) -> Iterator[str]:
    chosen, first = about.selection, about.streams[0]
    every = "all" if chosen.train_rows is None else f"the first {chosen.train_rows}"
    stop = "the last" if chosen.stop_held_out is None else str(chosen.stop_held_out)
    yield "## Protocol\n"
    yield (
        f"- {len(first.tasks)} tasks of {len(first.tasks[0].relations)} relations; {every} "
        f"training rows of a relation, {chosen.held_out} rows {chosen.first_held_out} to {stop}; "
        f"after the last task {sum(len(t.train) for t in first.tasks)} training and "
        f"{sum(len(t.held_out) for t in first.tasks)} held-out rows."
    )
    orders = ", ".join(f"{s.order} ({order_seed(s.order)})" for s in about.streams)
    yield f"- Task orders, and the seed that draws them: {orders}. Seed of every run: {about.seed}."
    for stream in about.streams:
        yield (
            f"- Rows of order {stream.order}: sha256 `{stream.digest}`; {stream.overlap} held-out "
            "rows are also a training row."
        )
    for name, digest in sorted(about.dataset.files.items()):
        yield f"- `{name}`: sha256 `{digest}`"
    for note in about.dataset.notes:
        yield f"- {note}"
    yield ""


def _sweeps(results: Results) -> Iterator[str]:
    for name in ("lambda1", "gamma1"):
        points = sweep_points(results, name)
        if points:
            yield f"| {name} | orders | accuracy after the last task |"
            yield "| ---: | ---: | ---: |"
            for value, accuracy in points:
                yield f"| {value:g} | {len(accuracy)} | {mean_and_deviation(accuracy)} |"
            yield ""


def _machines(results: Results) -> Iterator[str]:
    yield "## Machine and versions\n"
    # A peak is measured once a process: machines are told apart by what does not vary.
    found: dict[str, tuple[dict[str, Any], list[dict[str, float]]]] = {}
    for result in results:
        facts = dict(result.machine)
        peaks = facts.pop("matmul_peak_flops")
        found.setdefault(str(sorted(facts.items())), (facts, []))[1].append(peaks)
    for facts, peaks in found.values():
        versions = facts.pop("versions")
        yield "- " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
        yield "- " + ", ".join(f"{name} {value}" for name, value in versions.items())
        for precision in ("float32", "bfloat16"):
            values = sorted({round(p[precision] / 1e9, 1) for p in peaks})
            yield f"- matrix product, {precision}: {', '.join(map(str, values))} GFLOP/s"
    yield ""


def _codes(results: Results) -> Iterator[str]:
    yield "## Code\n"
    for label in dict.fromkeys(r.run.variant.label for r in results):
        codes = sorted({r.code for r in results if r.run.variant.label == label})
        yield f"- `{label}`: sha256 " + ", ".join(f"`{code[:16]}`" for code in codes)


def _group(results: Results, group: str) -> list[RunResult]:
    return [r for r in results if r.run.variant.group == group]
