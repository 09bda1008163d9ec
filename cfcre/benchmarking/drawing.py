"""The benchmark's pictures: accuracy over tasks, and the sweeps of λ and γ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cfcre.benchmarking.figures_of_runs import accuracies, by_label, labels_of
from cfcre.benchmarking.plan import BASE
from cfcre.benchmarking.statistics import deviation
from cfcre.benchmarking.study import RunResult
from cfcre.evaluation.figure_style import COLOURS, GRID, INK, MARKERS, MUTED, new_figure

__all__ = ["accuracy_curves", "sweep_figure", "sweep_points"]

_SYMBOLS = {"lambda1": "λ1 (weight of L_cl; λ2 = 1 - λ1)", "gamma1": "γ1 (L_fl; γ2 = 1 - γ1)"}


def accuracy_curves(results: Sequence[RunResult], default: str, path: Path) -> list[Path]:
    """Accuracy after each task, a line a method: the mean over orders, ± one deviation as a band.

    Args:
        results: Runs of the methods.
        default: Drawn strongest.
        path: PNG to write; an SVG is written beside it.
    """
    with new_figure(path, 8.6, 4.8, vector=True) as figure:
        axes = figure.add_subplot()
        axes.set_title("Accuracy over all tasks so far")
        lowest = 100.0
        for number, label in enumerate(labels_of(results)):
            curves = [accuracies(r) for r in by_label(results, label)]
            size = min(map(len, curves))
            values = 100 * np.array([curve[:size] for curve in curves])
            mean, tasks = values.mean(axis=0), np.arange(1, size + 1)
            colour = INK if label == default else COLOURS[number % len(COLOURS)]
            axes.plot(
                tasks,
                mean,
                color=colour,
                marker=MARKERS[number % len(MARKERS)],
                markersize=4.5,
                linewidth=2.6 if label == default else 1.4,
                label=f"{label} ({mean[-1]:.1f})",
                zorder=5 if label == default else 3,
            )
            if len(values) > 1:
                spread = values.std(axis=0, ddof=1)
                axes.fill_between(tasks, mean - spread, mean + spread, color=colour, alpha=0.12)
            lowest = min(lowest, float(mean.min()))
        axes.set_ylim(max(0.0, 10 * np.floor((lowest - 2) / 10)), 100)
        axes.set_xticks(range(1, max((len(r.records) for r in results), default=1) + 1))
        axes.set_xlabel("after learning task")
        axes.set_ylabel("accuracy on held-out rows, %")
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return [path, path.with_suffix(".svg")]


def sweep_figure(results: Sequence[RunResult], path: Path) -> list[Path]:
    """Figure 2: accuracy after the last task over λ1 and over γ1, mean ± deviation over orders.

    Args:
        results: Runs of a sweep, and of the method that it is about.
        path: PNG to write; an SVG is written beside it.

    Returns:
        The files; none where nothing was swept.
    """
    swept = [name for name in _SYMBOLS if any(r.run.variant.group == name for r in results)]
    if not swept:
        return []
    base = [100 * accuracies(r)[-1] for r in _once(by_label(results, BASE))]
    with new_figure(path, 1.0 + 4.6 * len(swept), 4.0, vector=True) as figure:
        panels = figure.subplots(1, len(swept), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, swept, strict=True):
            points = sweep_points(results, name)
            axes.errorbar(
                [value for value, _ in points],
                [float(np.mean(y)) for _, y in points],
                yerr=[deviation(y) or 0.0 for _, y in points],
                color=COLOURS[0],
                marker="o",
                capsize=3,
                label="swept",
            )
            if base:
                axes.axhline(
                    float(np.mean(base)), color=MUTED, linestyle="--", label=f"{BASE} as set"
                )
            axes.set_xlabel(_SYMBOLS[name])
            axes.grid(axis="y", color=GRID)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("accuracy after the last task, %")
        panels[0].set_title(f"{BASE}: weights of its losses")
        panels[0].legend(frameon=False, labelcolor=MUTED)
    return [path, path.with_suffix(".svg")]


def sweep_points(results: Sequence[RunResult], name: str) -> list[tuple[float, list[float]]]:
    """Each swept value with the accuracies of its orders, in percent."""
    found: dict[float, list[float]] = {}
    for r in results:
        if r.run.variant.group == name and r.run.variant.value is not None:
            found.setdefault(r.run.variant.value, []).append(100 * accuracies(r)[-1])
    return sorted(found.items())


def _once(results: Sequence[RunResult]) -> list[RunResult]:
    """Each order once: the base method may be planned as a method and as an ablation."""
    return list({r.run.order: r for r in results}.values())
