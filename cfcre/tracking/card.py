"""The model card of a registered version, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["DESCRIPTION_CHARS", "encoder_licence", "model_card"]

#: What MLflow's registry stores of a version's description.
DESCRIPTION_CHARS = 5000

_LICENCES = {
    "compact": "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0",
    "paper": "google-bert/bert-base-uncased, Apache-2.0",
    "all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0",
    "bert-base-uncased": "google-bert/bert-base-uncased, Apache-2.0",
    "spanbert": "SpanBERT, CC BY-NC 4.0: not for commercial use",
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$!])")


def encoder_licence(name: str) -> str:
    """Origin and licence of an encoder's weights, as far as this package knows it."""
    base = name.rstrip("/").rsplit("/", 1)[-1].lower()
    known = _LICENCES.get(base)
    if known is None and base.startswith("spanbert"):
        known = _LICENCES["spanbert"]
    return known or "not known to this package; see the page of the encoder before you publish"


def _text(value: object) -> str:
    """Any text as literal Markdown: one line, nothing interpreted, HTML included."""
    flat = " ".join(str(value).replace("\x00", "\N{REPLACEMENT CHARACTER}").split())
    return _MARKDOWN.sub(r"\\\1", flat).replace("&", "&amp;")


def _number(value: object, digits: int = 3) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else _text(value)
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def model_card(
    evaluation: Mapping[str, Any], facts: Mapping[str, Any], *, limit: int | None = None
) -> str:
    """Write the card.

    Args:
        evaluation: What the evaluate stage returned.
        facts: All optional here: ``stream``, ``task``, ``batch_hash``, ``batch_name``,
            ``parent_version``, ``verdict`` (text, or ``{"verdict" | "decision", "reason",
            "checks": [{"name", "passed", "value", "limit", "detail"}]}``), ``rows`` (counts),
            ``settings`` (``Settings.portable()``), ``history`` (``[{"task", "batch",
            "batch_name", "relations"}]``), ``code_version``.
        limit: Most characters; sections that do not fit are left out from the end, whole.

    Returns:
        Markdown in which names from the data can not act as markup.
    """
    sections = [
        _what(evaluation, facts),
        _section("Evaluation", _evaluation(evaluation)),
        _section("Gate", _gate(facts.get("verdict"))),
        _section("Limits", _limits(facts)),
        _section("Data", _data(facts)),
        _section("Tasks", _tasks(evaluation, facts)),
        _section("Settings", _settings(facts)),
        _section("Relations", _relations(evaluation)),
    ]
    if limit is None:
        return "\n".join(line for section in sections for line in section) + "\n"
    note = "\n\nThe whole card is the file model_card.md among the run's artifacts.\n"
    card = ""
    for section in sections:
        part = "\n".join(section)
        if len(card) + len(part) + 1 + len(note) > limit:
            break
        card += part + "\n"
    return card.rstrip("\n") + note


def _what(evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    seen = evaluation.get("relations_seen")
    stream = f" of the stream {_text(facts['stream'])}" if facts.get("stream") else ""
    return [
        f"# Relation extraction after task {_number(evaluation.get('task') or facts.get('task'))}",
        "",
        (
            f"Tells which of {_number(seen)} relations holds from a head to a tail entity in a "
            f"sentence. Learned task by task{stream} with CF-CRE: an encoder with entity markers, "
            "one prototype a relation, and an episodic memory of a few examples a relation."
        ),
    ]


def _evaluation(evaluation: Mapping[str, Any]) -> list[str]:
    flips = evaluation.get("negative_flips") or {}
    rows = [
        ("Average accuracy over tasks", _number(evaluation.get("average_accuracy"))),
        ("Accuracy over all test rows", _number(evaluation.get("overall_accuracy"))),
        ("Mean forgetting", _number(evaluation.get("forgetting"))),
    ]
    if flips.get("rows"):
        share = f"{_number(flips.get('count'))} of {_number(flips.get('rows'))} rows"
        rows.append(("Right before, wrong now", f"{share} ({_number(flips.get('rate'))})"))
    lines = ["On the held-out rows of every task so far.", "", *_table(("Measure", "Value"), rows)]
    matrix = evaluation.get("accuracy_matrix") or []
    if matrix:
        header = ["After task", *(f"Task {i}" for i in range(1, len(matrix[-1]) + 1))]
        body = [
            [str(t), *(_number(v) for v in row), *[""] * (len(matrix[-1]) - len(row))]
            for t, row in enumerate(matrix, start=1)
        ]
        lines += ["", *_table(header, body)]
    return lines


def _gate(verdict: Any) -> list[str]:
    if verdict is None:
        return []
    if not isinstance(verdict, Mapping):
        return [f"Verdict: **{_text(verdict)}**"]
    decision = verdict.get("verdict") or verdict.get("decision") or "–"
    lines = [f"Verdict: **{_text(decision)}**"]
    if verdict.get("reason"):
        lines[0] += f" ({_text(verdict['reason'])})"
    rows = [
        (
            _text(check.get("name", "")),
            "passed" if check.get("passed") else "**failed**",
            _number(check.get("value")),
            _number(check.get("limit")),
            _text(check.get("detail", "")),
        )
        for check in verdict.get("checks") or []
    ]
    if rows:
        lines += ["", *_table(("Check", "Result", "Value", "Limit", "Detail"), rows)]
    return lines


def _limits(facts: Mapping[str, Any]) -> list[str]:
    encoder = ((facts.get("settings") or {}).get("encoder") or {}).get("name")
    lines = [
        "- It always names one of the relations it knows, for a sentence about something else too.",
        "- Both entities must be given; it does not find them.",
        "- The probability is a softmax over scores, not calibrated.",
        "- Sentences longer than the encoder reads are cut to a window that holds both entities.",
        "- Accuracies come from held-out rows of the same batches; other sources may differ.",
        "- The memory holds sentences of the training data: who can read the version reads them.",
    ]
    if encoder:
        lines.append(f"- Encoder weights: {_text(encoder_licence(str(encoder)))}.")
    return lines


def _data(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        (label, f"`{value}`" if code else _text(value))
        for label, key, code in (
            ("Batch", "batch_name", False),
            ("Batch SHA-256", "batch_hash", True),
            ("Parent version", "parent_version", False),
            ("Code version", "code_version", False),
        )
        if (value := facts.get(key)) not in (None, "")
    ]
    rows += [(f"Rows {_text(k)}", _number(v)) for k, v in (facts.get("rows") or {}).items()]
    return _table(("Item", "Value"), rows) if rows else []


def _tasks(evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    history = facts.get("history") or evaluation.get("tasks") or []
    accuracy = evaluation.get("accuracy") or []
    tested = {task.get("task"): task.get("rows") for task in evaluation.get("tasks") or []}
    rows = []
    for position, task in enumerate(history):
        relations = task.get("relations")
        rows.append(
            (
                _number(task.get("task")),
                _text(task.get("batch_name") or ""),
                f"`{_text(str(task.get('batch') or ''))[:16]}`",
                "–" if relations is None else str(len(relations)),
                _number(tested.get(task.get("task"))),
                _number(accuracy[position]) if position < len(accuracy) else "–",
            )
        )
    header = ("Task", "Batch", "SHA-256", "New relations", "Test rows", "Accuracy now")
    return _table(header, rows) if rows else []


def _settings(facts: Mapping[str, Any]) -> list[str]:
    settings = facts.get("settings") or {}
    rows = [("seed", _number(settings.get("seed")))] if "seed" in settings else []
    # A method's own section bears its name: rp_cre for rp-cre. The other methods' say nothing here.
    own = str((settings.get("method") or {}).get("name", "")).replace("-", "_")
    for section in ("encoder", "method", own, "augmentation", "memory"):
        for key, value in (settings.get(section) or {}).items():
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            # str() keeps 1e-05 readable where three digits would print 0.000.
            rows.append((f"{_text(section)}.{_text(key)}", _text(shown)))
    return _table(("Setting", "Value"), rows) if rows else []


def _relations(evaluation: Mapping[str, Any]) -> list[str]:
    new = set(evaluation.get("task_relations") or [])
    rows = [
        (
            _text(name),
            "new" if name in new else "",
            _number(values.get("support")),
            _number(values.get("accuracy")),
        )
        for name, values in (evaluation.get("per_relation") or {}).items()
    ]
    return _table(("Relation", "", "Test rows", "Accuracy"), rows) if rows else []
