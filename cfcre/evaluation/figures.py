"""Pictures of an evaluation, as PNG files.

Pure functions of their arguments: no pyplot, no global style, no clock. Relation names come from
the data, so they are drawn as literal text: shortened, never read as mathematics, and told apart
by their number where the installed fonts lack their script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cfcre.evaluation.embedding_map import embedding_map
from cfcre.evaluation.figure_style import (
    COLOURS,
    GRID,
    INK,
    MARKERS,
    MUTED,
    Array,
    display_names,
    finite,
    new_figure,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "accuracy_by_task",
    "accuracy_matrix",
    "draw_all",
    "embedding_map",
    "similar_confusions",
]


def _catalogue(evaluation: Mapping[str, Any]) -> list[str]:
    """Relations in order of arrival."""
    similarity = evaluation.get("similarity") or {}
    return list(similarity.get("relations") or evaluation.get("per_relation") or {})


def _numbers(axes: Axes, values: Array, size: float, text: Callable[[float], str]) -> None:
    """Write each cell's value, dark on light and light on dark."""
    for row, column in np.argwhere(np.isfinite(values)):
        value = float(values[row, column])
        colour = "white" if value > 0.6 else INK
        axes.text(column, row, text(value), ha="center", va="center", color=colour, fontsize=size)


def accuracy_matrix(evaluation: Mapping[str, Any], path: Path) -> Path:
    """Heat map: accuracy on each task's held-out rows (columns) after each task (rows).

    Args:
        evaluation: ``accuracy_matrix``, a list of rows of growing length.
        path: PNG to write.
    """
    rows = evaluation.get("accuracy_matrix") or []
    count = max(len(rows), max((len(row) for row in rows), default=0))
    values = np.full((count, count), np.nan)
    for t, row in enumerate(rows):
        values[t, : len(row)] = [finite(v) for v in row]
    side = min(3.2 + 0.55 * count, 16.0)
    with new_figure(path, side + 1.2, side) as figure:
        axes = figure.add_subplot()
        axes.set_title("Accuracy matrix")
        if not count:
            say(axes, "no task was evaluated")
            return path
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
        size = float(np.clip(200 / count / 2.2, 5, 11))
        _numbers(axes, values, size, lambda v: f"{100 * v:.0f}" if count > 12 else f"{100 * v:.1f}")
        ticks = range(count)
        axes.set_xticks(ticks, [str(i + 1) for i in ticks])
        axes.set_yticks(ticks, [str(i + 1) for i in ticks])
        axes.set_xlabel("tested on task")
        axes.set_ylabel("after learning task")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, label="accuracy")
        bar.outline.set_visible(False)
    return path


def accuracy_by_task(evaluation: Mapping[str, Any], path: Path) -> Path:
    """Lines: each task's accuracy as later tasks are learned, and the average.

    Args:
        evaluation: ``accuracy_matrix``.
        path: PNG to write.
    """
    rows = [[finite(v) for v in row] for row in evaluation.get("accuracy_matrix") or []]
    count = max((len(row) for row in rows), default=0)
    with new_figure(path, min(6.5 + 0.25 * count, 14.0), 4.4) as figure:
        axes = figure.add_subplot()
        axes.set_title("Accuracy by task")
        if not rows:
            say(axes, "no task was evaluated")
            return path
        many = count > len(COLOURS)
        for task in range(count):
            points = [(t + 1, row[task]) for t, row in enumerate(rows) if task < len(row)]
            axes.plot(
                *np.array(points).T,
                color=COLOURS[task % len(COLOURS)],
                marker=MARKERS[(task // len(COLOURS)) % len(MARKERS)] if many else "o",
                markersize=4.5,
                linewidth=1.3,
                alpha=0.85,
                label=f"task {task + 1}",
                clip_on=False,
            )
        average = [float(np.mean(row)) if row else float("nan") for row in rows]
        last = f" ({100 * average[-1]:.1f} %)" if np.isfinite(average[-1]) else ""
        axes.plot(
            range(1, len(rows) + 1),
            average,
            color=INK,
            linewidth=2.8,
            marker="o",
            markersize=6,
            label=f"average{last}",
            zorder=5,
            clip_on=False,
        )
        known = [value for row in rows for value in row if np.isfinite(value)]
        lowest = min(known, default=0.0)
        # From a round number below the lowest point, at most 60 %: small changes stay small.
        floor = float(np.clip(np.floor((lowest - 0.04) * 5) / 5, 0, 0.6))
        axes.set_ylim(floor, 1)
        axes.set_xlim(0.7, len(rows) + 0.3)
        axes.set_xticks(range(1, len(rows) + 1))
        ticks = np.arange(floor, 1.001, 0.1 if floor >= 0.4 else 0.2)
        axes.set_yticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
        axes.set_xlabel("after learning task")
        axes.set_ylabel("accuracy on held-out rows")
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
        axes.legend(
            loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, ncols=1 + count // 16
        )
    return path


def similar_confusions(evaluation: Mapping[str, Any], path: Path, *, most: int = 14) -> Path:
    """Heat map: who is taken for whom among the relations most confused with similar ones.

    Rows are true relations, columns predicted ones, cells the share of the row's test rows.

    Args:
        evaluation: ``similar_confusions`` and ``per_relation``.
        path: PNG to write.
        most: Most relations shown.
    """
    pairs = [
        pair
        for pair in evaluation.get("similar_confusions") or []
        if pair["true"] != pair["predicted"] and pair.get("count")
    ]
    pairs.sort(key=lambda p: (-p["count"], -finite(p.get("similarity")), p["true"]))
    chosen: list[str] = []
    for pair in pairs:
        new = [name for name in (pair["true"], pair["predicted"]) if name not in chosen]
        if len(chosen) + len(new) <= most:
            chosen += new
    # Order of arrival, as in every other picture and table.
    catalogue = _catalogue(evaluation)
    chosen.sort(key=lambda name: catalogue.index(name) if name in catalogue else len(catalogue))
    side = 3.4 + 0.42 * max(len(chosen), 3)
    with new_figure(path, side + 2.2, side) as figure:
        axes = figure.add_subplot()
        axes.set_title("Confusion among similar relations")
        if not chosen:
            say(axes, "no test row was taken for a similar relation")
            return path
        support = {
            name: values.get("support") or 0
            for name, values in (evaluation.get("per_relation") or {}).items()
        }
        index = {name: i for i, name in enumerate(chosen)}
        values = np.full((len(chosen), len(chosen)), np.nan)
        for pair in pairs:
            if pair["true"] in index and pair["predicted"] in index:
                rows = max(int(support.get(pair["true"], 0)), int(pair["count"]))
                values[index[pair["true"]], index[pair["predicted"]]] = pair["count"] / rows
        top = float(np.nanmax(values))
        image = axes.imshow(values, cmap="Reds", vmin=0, vmax=top)
        _numbers(axes, values / top, 9, lambda share: f"{100 * share * top:.0f}")
        for i in range(len(chosen)):
            axes.text(i, i, "·", ha="center", va="center", color=MUTED)
        named = dict(zip(catalogue, display_names(catalogue), strict=True))
        labels = [named.get(name) or display_names([name])[0] for name in chosen]
        axes.set_xticks(range(len(chosen)), labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(chosen)), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true relation")
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(chosen)) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(chosen)) - 0.5, minor=True)
        axes.grid(which="minor", color=GRID)
        axes.tick_params(which="minor", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, label="% of the relation's test rows")
        bar.outline.set_visible(False)
        ticks = np.linspace(0, top, 5)
        bar.set_ticks(list(ticks), labels=[f"{100 * t:.0f}" for t in ticks])
    return path


def draw_all(
    evaluation: Mapping[str, Any],
    folder: Path,
    *,
    prototypes: Array | None = None,
    memory: Array | None = None,
    memory_relations: Sequence[str] = (),
    task_of: Mapping[str, int] | None = None,
) -> dict[str, Path]:
    """Draw every picture of a task.

    Args:
        evaluation: What the evaluate stage returned.
        folder: Folder to write PNG files to.
        prototypes: ``[R, d]`` in the order of ``per_relation``; None leaves the map out.
        memory: ``[M, d]`` embeddings of the memory.
        memory_relations: Their relations.
        task_of: Task in which each relation arrived.

    Returns:
        Name of each picture to its file.
    """
    paths = {
        "accuracy_matrix": accuracy_matrix(evaluation, folder / "accuracy_matrix.png"),
        "accuracy_by_task": accuracy_by_task(evaluation, folder / "accuracy_by_task.png"),
        "similar_confusions": similar_confusions(evaluation, folder / "similar_confusions.png"),
    }
    if prototypes is not None:
        paths["embedding_map"] = embedding_map(
            prototypes,
            _catalogue(evaluation),
            memory if memory is not None else np.zeros((0, prototypes.shape[1])),
            memory_relations,
            folder / "embedding_map.png",
            task_of=task_of,
        )
    return paths
