"""Which rows are accepted: facts about every row, the suites' verdicts, quarantine, batch rules.

Three suites one after the other: each row by itself; the rows that passed against each other and
against earlier tasks; the accepted rows together. accepted + quarantined = read, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cfcre.config import IntakeSettings, Settings
from cfcre.data.schema import RelationExample
from cfcre.data.splits import assign_split
from cfcre.errors import BatchRejected
from cfcre.intake.facts import between_facts, label_problem, relation_facts, row_facts
from cfcre.intake.quarantine import QuarantinedRow
from cfcre.intake.rows import ROW_REASONS, Problem, RawBatch, RawRow

if TYPE_CHECKING:
    from cfcre.intake.expectations import Checker

__all__ = ["Fits", "RowsRejected", "ValidationResult", "validate_batch"]

Fits = Callable[[Sequence[RelationExample]], Sequence[bool]]
"""Tells for each row whether the encoder can read both entities."""


@dataclass(frozen=True)
class ValidationResult:
    """What became of a batch's rows.

    Attributes:
        accepted: Rows to learn, in order, each with its split.
        quarantined: The other rows, in order, each with its reason.
        counts: ``read``, ``accepted``, ``quarantined``.
        by_reason: Reason to rows, most frequent first.
        docs_index: Index page of the Data Docs.
    """

    accepted: list[RelationExample]
    quarantined: list[QuarantinedRow]
    counts: dict[str, int]
    by_reason: dict[str, int]
    docs_index: Path | None


class RowsRejected(BatchRejected):
    """A batch whose rows were judged, but that as a whole is not enough to learn from.

    Args:
        reason: Code of :data:`cfcre.intake.rows.BATCH_REASONS`.
        detail: One line for the data engineer.
        result: What became of the rows.
    """

    def __init__(self, reason: str, detail: str, result: ValidationResult) -> None:
        super().__init__(reason, detail)
        self.quarantined = result.quarantined
        self.counts = result.counts
        self.by_reason = result.by_reason
        self.docs_index = result.docs_index


def validate_batch(
    raw: RawBatch,
    *,
    settings: Settings,
    earlier_test_keys: Set[str] = frozenset(),
    earlier_train_keys: Set[str] = frozenset(),
    fits: Fits,
    docs_dir: Path | None = None,
) -> ValidationResult:
    """Accept or quarantine every row, then judge the batch.

    Args:
        raw: The batch as read.
        settings: Settings; ``intake`` holds the rules.
        earlier_test_keys: ``input_key`` of the test rows of earlier tasks, not of this batch.
        earlier_train_keys: ``input_key`` of the training rows of earlier tasks.
        fits: Whether the encoder can read a row; asked once, with all rows that can be asked for.
        docs_dir: Folder for the Data Docs.

    Raises:
        RowsRejected: ``empty_batch`` or ``too_few_rows``; carries quarantined rows and counts.
    """
    from cfcre.intake.expectations import Checker, between_rows_suite, row_suite

    rules = settings.intake
    checker = Checker(docs_dir)
    problems: dict[int, Problem] = {}
    if raw.rows:
        facts = row_facts(raw.rows, rules, fits)
        _refuse(
            problems,
            checker.check("rows", facts, row_suite(rules), shown="source"),
            raw.rows,
            rules,
            {},
        )
    passed: list[tuple[RawRow, RelationExample]] = []
    for row in raw.rows:
        if row.index in problems:
            continue
        if row.example is None:
            raise RuntimeError(f"{row.source} has no example and no reason")
        passed.append((row, assign_split(row.example, rules.split_ratio)))
    if passed:
        between, partners = between_facts(passed, earlier_test_keys, earlier_train_keys)
        failures = checker.check("between rows", between, between_rows_suite(), shown="source")
        _refuse(problems, failures, raw.rows, rules, partners)
    accepted = [example for row, example in passed if row.index not in problems]
    quarantined = [
        QuarantinedRow(row.index, row.source, *problems[row.index], row.raw)
        for row in raw.rows
        if row.index in problems
    ]
    counts = {"read": len(raw.rows), "accepted": len(accepted), "quarantined": len(quarantined)}
    if counts["accepted"] + counts["quarantined"] != counts["read"]:
        raise RuntimeError(f"rows were lost: {counts}")
    rejection = _judge(raw, accepted, rules, checker)
    by_reason = dict(Counter(row.reason for row in quarantined).most_common())
    result = ValidationResult(accepted, quarantined, counts, by_reason, checker.build_docs())
    if rejection is not None:
        raise RowsRejected(*rejection, result)
    return result


def _refuse(
    problems: dict[int, Problem],
    failures: dict[str, list[int]],
    rows: list[RawRow],
    rules: IntakeSettings,
    partners: dict[int, str],
) -> None:
    for reason in ROW_REASONS:  # in order of precedence: the first reason stays
        for index in failures.get(reason, []):
            if index not in problems:
                detail = _detail(reason, rows[index], rules, partners.get(index, ""))
                problems[index] = Problem(reason, detail)


def _detail(reason: str, row: RawRow, rules: IntakeSettings, partner: str) -> str:
    """One line that tells what to repair."""
    if row.problem is not None and row.problem.reason == reason:
        return row.problem.detail
    label = repr((row.relation or "")[:80])
    if row.reading is not None:
        unit, length, head, tail, blank = row.reading
        spans = f"head {list(head)}, tail {list(tail)} in {unit}s of a sentence of {length}"
        blanks = " (an entity is only white space)" if blank else ""
        details = {
            "span_out_of_range": f"{spans}: a span reaches outside",
            "span_empty": f"{spans}: a span is empty{blanks}; ends are exclusive",
            "span_inverted": f"{spans}: a span ends before it starts",
            "spans_overlap": f"{spans}: head and tail share {unit}s",
        }
        if reason in details:
            return details[reason]
    size = len(row.example.text) if row.example else 0
    details = {
        "lone_surrogate": "text, relation or id holds half a surrogate pair, which is no character",
        "text_too_long": f"{size} characters; intake.max_text_chars is {rules.max_text_chars}",
        "too_long_for_encoder": f"{size} characters: no window of the encoder holds both entities",
        "empty_relation": "the relation is empty; label the row",
        "no_relation_label": f"{label} means 'none' (intake.no_relation_labels); leave the row out",
        "invalid_relation_name": f"relation {label}: {label_problem(row.relation or '')}",
        "conflicting_label": f"the same sentence and spans are labelled {label} here, {partner}",
        "duplicate": f"the same row as {partner}",
        "duplicate_of_earlier_test": "an earlier task is tested on the same sentence and spans",
        "test_row_seen_in_training": "a test row, but an earlier task trained on its sentence",
    }
    return details[reason]


def _judge(
    raw: RawBatch, accepted: list[RelationExample], rules: IntakeSettings, checker: Checker
) -> tuple[str, str] | None:
    from cfcre.intake.expectations import batch_suite

    if not raw.rows:
        return "empty_batch", "the batch has no rows"
    names, facts = relation_facts(raw.rows, accepted, rules)
    failures = checker.check("batch", facts, batch_suite(rules), shown="relation")
    if not failures:
        return None
    short = sorted(set(failures["too_few_rows"]))
    if not short:
        return "too_few_rows", f"none of the {len(raw.rows)} rows is usable; see the quarantine"
    shown = ", ".join(
        f"{names[i][:80]!r} has {facts['accepted'][i]} ({facts['accepted_train'][i]} to train)"
        for i in short[:5]
    )
    more = f" and {len(short) - 5} more relations" if len(short) > 5 else ""
    return (
        "too_few_rows",
        f"usable rows: {shown}{more}; a relation needs {rules.min_rows_per_relation}, "
        f"{rules.min_train_rows_per_relation} of them to train (intake.min_*_per_relation)",
    )
