"""The noise test as a table (Markdown, CSV) and two figures: F1 over the noise rate."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cfcre.data.files import write_bytes
from cfcre.evaluation.figure_style import COLOURS, GRID, MARKERS, MUTED, new_figure
from cfcre.evaluation.noise_study import NoiseResult
from cfcre.spans.noise import NoiseKind

__all__ = ["draw_noise", "noise_csv", "noise_markdown", "write_noise_report"]

_TASKS = {
    "entities": "entity",
    "relations": "relation",
    "relations_strict": "relation, strict",
}


def write_noise_report(
    results: Sequence[NoiseResult],
    kinds: Sequence[NoiseKind],
    folder: Path,
    *,
    average: str,
    caption: str,
) -> list[Path]:
    """Write ``noise.md``, ``noise.csv``, ``noise-entities.png`` and ``noise-relations.png``.

    Args:
        results: Finished runs.
        kinds: Kinds of noise, in order.
        folder: Where to write.
        average: ``micro`` or ``macro``.
        caption: Data and protocol, for the table.
    """
    table, rows = folder / "noise.md", folder / "noise.csv"
    write_bytes(table, noise_markdown(results, kinds, average, caption).encode("utf-8"))
    write_bytes(rows, noise_csv(results).encode("utf-8"))
    figures = []
    for task in ("entities", "relations"):
        path = folder / f"noise-{task}.png"
        draw_noise(results, kinds, task, average, path)
        figures.append(path)
    return [table, rows, *figures]


def noise_markdown(
    results: Sequence[NoiseResult], kinds: Sequence[NoiseKind], average: str, caption: str
) -> str:
    """One row a model and kind of noise; F1 in percent, mean and deviation over the seeds."""
    rates = sorted({r.run.rate for r in results})
    seeds = sorted({r.run.seed for r in results})
    head = ["model", "noise"]
    head += [f"{name} {100 * rate:g} %" for name in _TASKS.values() for rate in rates]
    lines = [_row(head), _row(["---"] * len(head))]
    for model, kind in _series(results, kinds):
        cells = [model, kind]
        for task in _TASKS:
            for rate in rates:
                values = _values(results, model, kind, rate, task, average)
                cells.append(_cell(values))
        lines.append(_row(cells))
    about = (
        f"{average.capitalize()} F1 in % on clean labels, mean ± standard deviation over seeds "
        f"{', '.join(map(str, seeds))}. {caption}"
    )
    return "\n".join([*lines, "", about, ""])


def noise_csv(results: Sequence[NoiseResult]) -> str:
    """One line a run, task and average, with the counts of changed labels."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        "model noise rate seed task average precision recall f1 entities changed_entities "
        "relations changed_relations".split()
    )
    for result in results:
        run, noise = result.run, result.noise
        for task, scores in result.scores.items():
            for average in ("micro", "macro"):
                figures = scores[average]
                writer.writerow(
                    [run.model, run.kind or "none", run.rate, run.seed, task, average]
                    + [f"{figures[name]:.6f}" for name in ("precision", "recall", "f1")]
                    + [noise["entities"], noise["changed_entities"]]
                    + [noise["relations"], noise["changed_relations"]]
                )
    return stream.getvalue()


def draw_noise(
    results: Sequence[NoiseResult],
    kinds: Sequence[NoiseKind],
    task: str,
    average: str,
    path: Path,
) -> None:
    """F1 over the noise rate, one line a model and kind.

    Args:
        results: Finished runs.
        kinds: Kinds of noise.
        task: ``entities`` or ``relations``.
        average: ``micro`` or ``macro``.
        path: PNG to write.
    """
    rates = sorted({r.run.rate for r in results})
    models = list(dict.fromkeys(r.run.model for r in results))
    with new_figure(path, 6.4, 4.4) as figure:
        axes = figure.add_subplot()
        axes.set_title(f"{_TASKS[task].capitalize()} F1 under label noise")
        for model, kind in _series(results, kinds):
            number = models.index(model)
            style: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)],
                "marker": MARKERS[number % len(MARKERS)],
                "linestyle": "-" if kind == "symmetric" else "--",
            }
            means, deviations = [], []
            for rate in rates:
                values = _values(results, model, kind, rate, task, average)
                means.append(100 * float(np.mean(values)) if values else float("nan"))
                deviations.append(100 * _deviation(values))
            shown = [100 * rate for rate in rates]
            axes.errorbar(
                shown, means, yerr=deviations, capsize=3, label=f"{model}, {kind}", **style
            )
        axes.set_xticks([100 * rate for rate in rates])
        axes.set_xlabel("labels replaced, %")
        axes.set_ylabel(f"{average} F1, %")
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, labelcolor=MUTED)


def _series(
    results: Sequence[NoiseResult], kinds: Sequence[NoiseKind]
) -> list[tuple[str, NoiseKind]]:
    models = dict.fromkeys(r.run.model for r in results)
    return [(model, kind) for model in models for kind in kinds]


def _values(
    results: Sequence[NoiseResult],
    model: str,
    kind: NoiseKind,
    rate: float,
    task: str,
    average: str,
) -> list[float]:
    """F1 of each seed; a run without noise counts for every kind."""
    return [
        float(r.scores[task][average]["f1"])
        for r in results
        if (r.run.model, r.run.rate) == (model, rate) and r.run.kind in (kind, None)
    ]


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = f"{100 * float(np.mean(values)):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * _deviation(values):.2f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
