"""The look of every picture: fonts, colours, labels that are safe to draw."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cfcre.data.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "Array",
    "display_names",
    "finite",
    "new_figure",
    "say",
]

Array = npt.NDArray[np.floating[Any]]

_DPI = 130
INK = "#22303c"
MUTED = "#6b7a86"
GRID = "#e3e8ec"
# Colour-blind safe; more series than colours repeat with another marker.
COLOURS = (
    "#3b6ea8",
    "#e08a1e",
    "#3a9a6b",
    "#8b5fb5",
    "#c2547f",
    "#7a6a4f",
    "#2aa3b8",
    "#9aa12f",
    "#5a6b8c",
    "#b5652f",
)
MARKERS = "osD^vP*X<>"
# Scripts beyond Latin, Greek and Cyrillic, where the machine has them.
_FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Emoji",
)
_MISSING = "\N{WHITE SQUARE}"


@cache
def _fonts() -> tuple[str, ...]:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed))


@cache
def _drawable() -> frozenset[int]:
    """Code points that the fonts in use can draw."""
    from matplotlib import font_manager

    points: set[int] = set()
    for name in _fonts():
        path = font_manager.findfont(name)
        points |= set(font_manager.get_font(path).get_charmap())
    return frozenset(points)


def display_names(relations: Sequence[str], length: int = 30) -> list[str]:
    """Labels for relations: one line, short, drawable, and distinct.

    Args:
        relations: Names, in catalogue order.
        length: Most characters of a label, the number not counted.

    Returns:
        A label for each; one that was shortened to another's, or lost characters that no
        installed font has, carries the relation's number, counted from 1.
    """
    drawable = _drawable()
    labels: list[str] = []
    lossy: list[bool] = []
    for name in relations:
        flat = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        shown = "".join(c if ord(c) in drawable else _MISSING for c in flat)
        lossy.append(_MISSING in shown and _MISSING not in flat)
        if len(shown) > length:
            shown = shown[: length - 1].rstrip() + "…"
        labels.append(shown or _MISSING)
    counts = {label: labels.count(label) for label in labels}
    return [
        f"#{i} {label}" if broken or counts[label] > 1 else label
        for i, (label, broken) in enumerate(zip(labels, lossy, strict=True), start=1)
    ]


@contextmanager
def new_figure(
    path: Path, width: float, height: float, *, vector: bool = False
) -> Iterator[Figure]:
    """Yield a figure in the house style; save it when the block ends.

    Args:
        path: PNG to write.
        width: Inches.
        height: Inches.
        vector: Write the same figure as SVG beside it.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": list(_fonts()),
        "font.size": 10,
        "text.parse_math": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 12,
        "axes.titlepad": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": INK,
        "ytick.color": INK,
        # Names inside an SVG file are drawn from this instead of from the clock.
        "svg.hashsalt": "cfcre",
    }
    with rc_context(style), warnings.catch_warnings():
        # A glyph that is missing after all is a box in a picture, not a fault of a task.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height), facecolor="white")
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
        FigureCanvasAgg(figure)
        yield figure
        buffer = io.BytesIO()
        # No creation date and no version: equal input gives equal bytes.
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
        write_bytes(path, buffer.getvalue())
        if vector:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            write_bytes(path.with_suffix(".svg"), buffer.getvalue())


def finite(value: Any) -> float:
    """The value, or NaN where it is missing."""
    return float(value) if value is not None else float("nan")


def say(axes: Axes, text: str) -> None:
    """Put a sentence where a picture has nothing to show."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes)
    axes.set_axis_off()
