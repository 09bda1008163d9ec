"""The evaluation in one Markdown page: the accuracy matrix, the figures and the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["accuracy_page", "plain_text", "table_row"]

_FIGURES = (
    ("average_accuracy", "average accuracy"),
    ("overall_accuracy", "overall accuracy"),
    ("forgetting", "forgetting"),
)


def accuracy_page(evaluation: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """Write the page.

    The accuracy matrix is a table here and not a confusion matrix: its rows are moments and its
    columns are tasks, and a viewer of confusion matrices would call them true and predicted.

    Args:
        evaluation: The document ``evaluation.json``.
        verdict: ``verdict`` and ``reason``.
    """
    tasks = evaluation["tasks"]
    lines = [f"# Task {evaluation['task']}", ""]
    lines += [f"**{plain_text(verdict['verdict'])}**: {plain_text(verdict['reason'])}", ""]
    lines += ["Accuracy on the held-out rows of each task", ""]
    heads = ["after task", *(f"{t['task']}: {plain_text(t['batch_name'])}" for t in tasks)]
    lines += [table_row(heads), table_row(["---:"] * len(heads))]
    for moment, values in enumerate(evaluation["accuracy_matrix"], start=1):
        cells = [_number(value) for value in values] + [""] * (len(tasks) - len(values))
        lines.append(table_row([str(moment), *cells]))
    lines += ["", table_row(["figure", "value"]), table_row(["---", "---:"])]
    lines += [table_row([label, _number(evaluation[name])]) for name, label in _FIGURES]
    flips = evaluation["negative_flips"]
    if flips["rows"]:
        lines.append(table_row(["negative flips", f"{flips['count']} of {flips['rows']} rows"]))
    return "\n".join(lines) + "\n"


def table_row(cells: list[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def plain_text(value: object) -> str:
    """Names come from outside: nothing in them is markup, and each stays in its cell."""
    plain = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~-])", r"\\\1", plain)
