"""A 2-D map of what the model keeps of each relation: its prototype and its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfcre.evaluation.figure_style import COLOURS, MUTED, Array, display_names, new_figure, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["embedding_map"]

# A map with more names than this shows numbers and a key.
_MOST_LABELS = 24


def embedding_map(
    prototypes: Array,
    relations: Sequence[str],
    memory: Array,
    memory_relations: Sequence[str],
    path: Path,
    *,
    task_of: Mapping[str, int] | None = None,
) -> Path:
    """2-D map (PCA over prototypes and memory) of what the model keeps of each relation.

    Args:
        prototypes: Unit rows ``[R, d]``.
        relations: Their names, in order of arrival.
        memory: Unit rows ``[M, d]`` of the memory's examples.
        memory_relations: Their relations.
        path: PNG to write.
        task_of: Task in which a relation arrived; colours by task, else by relation.
    """
    labels = display_names(relations, 24)
    many = len(relations) > _MOST_LABELS
    with new_figure(path, 13.0 if many else 9.0, 8.0 if many else 6.2) as figure:
        axes = figure.add_subplot()
        axes.set_title("Prototypes and memory")
        if not len(prototypes):
            say(axes, "no relation was learned")
            return path
        points, share = _project(prototypes, memory)
        centre, around = points[: len(prototypes)], points[len(prototypes) :]
        groups = [task_of.get(r, 0) if task_of else i for i, r in enumerate(relations)]
        order = {group: i for i, group in enumerate(sorted(set(groups)))}
        palette = [COLOURS[order[group] % len(COLOURS)] for group in groups]
        colours = dict(zip(relations, palette, strict=True))
        if len(around):
            axes.scatter(
                around[:, 0],
                around[:, 1],
                s=14,
                c=[colours.get(r, MUTED) for r in memory_relations],
                alpha=0.4,
                linewidths=0,
            )
        axes.scatter(
            centre[:, 0],
            centre[:, 1],
            s=130 if many else 110,
            c=palette,
            edgecolors="white",
            linewidths=1.2,
            zorder=3,
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.08)
        _legend(axes, {group: COLOURS[i % len(COLOURS)] for group, i in order.items()}, task_of)
        if many:
            _number_points(axes, centre)
            _key(figure, labels, palette)
        else:
            _place_labels(axes, centre, labels, palette, 8.5)
        axes.set_xlabel(f"first component ({100 * share[0]:.0f} % of the variance)")
        axes.set_ylabel(f"second component ({100 * share[1]:.0f} %)")
    return path


def _legend(axes: Axes, groups: Mapping[int, str], task_of: Mapping[str, int] | None) -> None:
    """Colours of the tasks, and what a small dot is, below the map."""
    if task_of:
        for group, colour in groups.items():
            axes.scatter([], [], c=colour, s=50, label=f"task {group}")
    axes.scatter([], [], c=MUTED, s=14, alpha=0.5, label="memory example")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False, ncols=6)


def _number_points(axes: Axes, centre: Array) -> None:
    for i, (x, y) in enumerate(centre, start=1):
        axes.text(
            x, y, str(i), ha="center", va="center_baseline", color="white", fontsize=6, zorder=4
        )


def _key(figure: Figure, labels: Sequence[str], palette: Sequence[str]) -> None:
    """Number and name of each relation, in columns beside the map."""
    axes = figure.axes[0]
    rows = max(44, -(-len(labels) // 2))
    for i, (label, colour) in enumerate(zip(labels, palette, strict=True)):
        column, row = divmod(i, rows)
        name = label.removeprefix(f"#{i + 1} ")
        axes.annotate(
            f"{i + 1}  {name}",
            (1.02 + 0.24 * column, 1.0 - row / rows),
            xycoords="axes fraction",
            va="top",
            fontsize=min(7.0, 308 / rows),
            color=colour,
            annotation_clip=False,
        )


def _project(prototypes: Array, memory: Array) -> tuple[Array, Array]:
    """Two principal components of all rows; missing ones are zero. Signs are fixed."""
    from sklearn.decomposition import PCA

    rows = np.asarray(prototypes, dtype=np.float64)
    if len(memory):
        rows = np.concatenate([rows, np.asarray(memory, dtype=np.float64)])
    points, share = np.zeros((len(rows), 2)), np.zeros(2)
    components = min(2, len(rows) - 1, rows.shape[1])
    if components and not np.allclose(rows, rows[0]):
        model = PCA(n_components=components, svd_solver="full")
        points[:, :components] = model.fit_transform(rows)
        share[:components] = model.explained_variance_ratio_
    return points, share


def _place_labels(
    axes: Axes, points: Array, labels: Sequence[str], colours: Sequence[str], size: float
) -> None:
    """Write each label at the first of several places around its point that is still free."""
    from matplotlib import patheffects

    axes.figure.canvas.draw()  # fixes the scale from data to pixels
    places = axes.transData.transform(points) * 72 / axes.figure.dpi  # in typographic points
    height = size * 1.25
    taken = [(x - 6.0, y - 6.0, x + 6.0, y + 6.0) for x, y in places]
    around = [(0, 9), (0, -9 - height), (9, -height / 2), (-9, -height / 2)]
    around += [(7, 7), (-7, 7), (7, -7 - height), (-7, -7 - height), (0, 20), (0, -20 - height)]
    for (x, y), (px, py), label, colour in zip(points, places, labels, colours, strict=True):
        width = len(label) * size * 0.6
        for dx, dy in [*around, around[0]]:
            align = "center" if dx == 0 else "left" if dx > 0 else "right"
            shift = {"center": -width / 2, "left": 0.0, "right": -width}[align]
            left, bottom = px + dx + shift, py + dy
            box = (left, bottom, left + width, bottom + height)
            if not any(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            ):
                break
        taken.append(box)
        text = axes.annotate(
            label,
            (x, y),
            xytext=(dx, dy),
            textcoords="offset points",
            ha=align,
            fontsize=size,
            color=colour,
            zorder=4,
        )
        text.set_path_effects([patheffects.withStroke(linewidth=2.2, foreground="white")])
