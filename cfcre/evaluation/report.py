"""One task's report: a single HTML file that needs nothing but a browser.

Names, reasons and texts come from other people's data. The template escapes everything it is
given; pictures are embedded, and a content policy forbids the page to load or run anything.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfcre.data.files import write_bytes

__all__ = ["render_report", "write_report"]

_TEMPLATE = "report.html.j2"
_CAPTIONS = {
    "accuracy_matrix": "Accuracy on each task's held-out rows (columns) after each task (rows).",
    "accuracy_by_task": "How the accuracy of each task changes as later tasks are learned.",
    "similar_confusions": "Share of a relation's test rows that were taken for a similar relation.",
    "embedding_map": (
        "Prototypes (large) and memory examples (small), on their two principal components."
    ),
}
# Pictures full of names need the page's whole width.
_WIDE = frozenset({"similar_confusions", "embedding_map"})
# What the gate says, in the reader's words: heading, tone.
_DECISIONS = {
    "promote": ("Promoted: this version is the champion", "good"),
    "promoted": ("Promoted: this version is the champion", "good"),
    "hold": ("Held: the champion stays", "bad"),
    "held": ("Held: the champion stays", "bad"),
    "rejected": ("Rejected: the batch was moved aside", "bad"),
    "failed": ("Failed: the task did not finish", "bad"),
}
_CHECKS = {
    "new_task_accuracy": "Accuracy of the new task",
    "mean_forgetting": "Mean forgetting",
    "worst_relation_drop": "Largest drop of a relation",
    "negative_flips": "Rows right before, wrong now",
}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _percent(value: object) -> str:
    number = _number(value)
    return "–" if number is None else f"{100 * number:.1f} %"


def _points(value: object) -> str:
    """A change, in points of a percentage, with its sign."""
    number = _number(value)
    return "–" if number is None else f"{100 * number:+.1f}".replace("-", "−")


def _seconds(value: object) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:.1f} s"


def _shade(value: object) -> str:
    """Opacity of a matrix cell's colour; at most 0.45, so that its number stays readable."""
    number = _number(value)
    return "0" if number is None else f"{0.45 * min(max(number, 0.0), 1.0) ** 2:.3f}"


def _verdict(verdict: Mapping[str, Any] | str | None) -> dict[str, Any]:
    document: dict[str, Any] = (
        {"verdict": verdict} if isinstance(verdict, str) else dict(verdict or {})
    )
    decision = str(document.get("verdict") or document.get("decision") or "")
    title, tone = _DECISIONS.get(decision, (decision or "Not judged", "none"))
    checks = [
        {
            "name": _CHECKS.get(str(check.get("name")), str(check.get("name"))),
            "passed": bool(check.get("passed")),
            "value": _percent(check.get("value")),
            "limit": _percent(check.get("limit")),
            "detail": check.get("detail") or "",
        }
        for check in document.get("checks") or []
    ]
    return {"title": title, "tone": tone, "reason": document.get("reason"), "checks": checks}


def _relations(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every relation in order of arrival, with its change against the champion."""
    similarity = evaluation.get("similarity") or {}
    per_relation = evaluation.get("per_relation") or {}
    order = list(similarity.get("relations") or per_relation)
    order += [name for name in per_relation if name not in set(order)]
    changes = {c["relation"]: c for c in evaluation.get("relation_changes") or []}
    new = set(evaluation.get("task_relations") or []) - set(changes)
    rows = []
    for number, name in enumerate(order, start=1):
        values = per_relation.get(name) or {}
        change = changes.get(name) or {}
        rows.append(
            {
                "number": number,
                "name": name,
                "new": name in new,
                "support": values.get("support", 0),
                "accuracy": values.get("accuracy"),
                "champion": change.get("champion"),
                "change": change.get("change"),
                "fell": (_number(change.get("change")) or 0.0) < 0,
                "rose": (_number(change.get("change")) or 0.0) > 0,
            }
        )
    return rows


def _stages(seconds: Mapping[str, float] | None) -> list[dict[str, Any]]:
    rows = [(name, _number(value) or 0.0) for name, value in (seconds or {}).items()]
    longest = max((value for _, value in rows), default=0.0) or 1.0
    return [{"name": n, "seconds": v, "width": f"{100 * v / longest:.1f}"} for n, v in rows]


def _pictures(figures: Mapping[str, Path] | None) -> list[dict[str, Any]]:
    pictures: list[dict[str, Any]] = []
    for name, path in (figures or {}).items():
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        caption = _CAPTIONS.get(name, name.replace("_", " ").capitalize())
        pictures.append(
            {
                "uri": f"data:image/png;base64,{data}",
                "caption": caption,
                "wide": name in _WIDE,
            }
        )
    return pictures


def render_report(
    evaluation: Mapping[str, Any],
    *,
    verdict: Mapping[str, Any] | str | None = None,
    rows: Mapping[str, int] | None = None,
    quarantined_by_reason: Mapping[str, int] | None = None,
    stage_seconds: Mapping[str, float] | None = None,
    lineage: Mapping[str, Any] | None = None,
    figures: Mapping[str, Path] | None = None,
    title: str = "",
) -> str:
    """Render the report.

    Args:
        evaluation: What the evaluate stage returned.
        verdict: The gate's decision: text, or ``{"verdict", "reason", "checks": [{"name",
            "passed", "value", "limit", "detail"}]}``.
        rows: ``{"read", "accepted", "quarantined"}``.
        quarantined_by_reason: Rows by reason code.
        stage_seconds: Wall seconds by stage, in order.
        lineage: Label to value: batch, hashes, versions, run.
        figures: Name to PNG file, in order.
        title: Heading; default names the task.

    Returns:
        HTML that loads nothing from anywhere.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cfcre.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, points=_points, seconds=_seconds, shade=_shade)
    matrix: Sequence[Sequence[Any]] = evaluation.get("accuracy_matrix") or []
    flips = evaluation.get("negative_flips") or {}
    return environment.get_template(_TEMPLATE).render(
        title=title or f"Task {evaluation.get('task', '–')}",
        verdict=_verdict(verdict),
        evaluation={
            "average_accuracy": evaluation.get("average_accuracy"),
            "overall_accuracy": evaluation.get("overall_accuracy"),
            "forgetting": evaluation.get("forgetting"),
            "relations_seen": evaluation.get("relations_seen"),
            "flips": flips if flips.get("rows") else None,
        },
        champion=evaluation.get("champion"),
        matrix=matrix,
        width=max((len(row) for row in matrix), default=0),
        tasks={t["task"]: t for t in evaluation.get("tasks") or []},
        relations=_relations(evaluation),
        confusions=(evaluation.get("similar_confusions") or [])[:25],
        rows=rows or {},
        reasons=sorted((quarantined_by_reason or {}).items(), key=lambda item: (-item[1], item[0])),
        stages=_stages(stage_seconds),
        total_seconds=sum(_number(v) or 0.0 for v in (stage_seconds or {}).values()),
        lineage={k: v for k, v in (lineage or {}).items() if v not in (None, "")},
        pictures=_pictures(figures),
    )


def write_report(path: Path, evaluation: Mapping[str, Any], **parts: Any) -> Path:
    """Render and write the report, whole or not at all; see :func:`render_report`."""
    text = render_report(evaluation, **parts)
    # A lone surrogate, which no file can hold, becomes a question mark instead of a crash.
    write_bytes(path, text.encode("utf-8", "replace"))
    return path
