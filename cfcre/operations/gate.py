"""The gate: may this candidate replace the champion?

A pure function of the evaluation and the limits. A number that is not finite, or is missing, where
a rule needs one fails that rule: a model whose quality is unknown is not promoted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cfcre.config import GateSettings

__all__ = ["Check", "Verdict", "judge"]

# A drop from 0.9 to 0.3 is 0.6000000000000001 in floating point; a value at its limit passes.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Check:
    """One rule's result.

    Attributes:
        name: new_task_accuracy, mean_forgetting, worst_relation_drop or negative_flips.
        value: What was measured; None where it is missing or not finite.
        limit: The setting it was compared with.
        passed: Whether the rule allows promotion.
        detail: One line for people.
    """

    name: str
    value: float | None
    limit: float
    passed: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping."""
        return {
            "name": self.name,
            "value": self.value,
            "limit": self.limit,
            "passed": self.passed,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Verdict:
    """The gate's decision and the checks it rests on."""

    verdict: Literal["promote", "hold"]
    checks: tuple[Check, ...]

    @property
    def promote(self) -> bool:
        """Whether the candidate becomes the champion."""
        return self.verdict == "promote"

    @property
    def reason(self) -> str:
        """One line: the failed checks, or that all passed."""
        failed = [check.detail for check in self.checks if not check.passed]
        return "; ".join(failed) if failed else "every check passed"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping without NaN."""
        return {"verdict": self.verdict, "checks": [check.to_json() for check in self.checks]}

    def lines(self) -> list[str]:
        """A table for people, one line a check."""
        rows = [
            (
                "pass" if check.passed else "FAIL",
                check.name,
                "-" if check.value is None else f"{check.value:.4f}",
                f"{check.limit:.4f}",
                check.detail,
            )
            for check in self.checks
        ]
        header = ("", "check", "value", "limit", "detail")
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(4)]
        table = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
            for row in [header, *rows]
        ]
        return [*(line.rstrip() for line in table), f"verdict: {self.verdict}"]


def judge(evaluation: Mapping[str, Any], gate: GateSettings) -> Verdict:
    """Judge a candidate.

    Without a champion only the floor on the new task and the limit on forgetting apply.

    Args:
        evaluation: The document ``evaluation.json`` of the candidate.
        gate: The limits; a value at its limit passes.
    """
    checks = [_new_task(evaluation, gate), _forgetting(evaluation, gate)]
    if evaluation.get("champion") is not None:
        checks += [_relation_drop(evaluation, gate), _negative_flips(evaluation, gate)]
    verdict: Literal["promote", "hold"] = "promote" if all(c.passed for c in checks) else "hold"
    return Verdict(verdict, tuple(checks))


def _new_task(evaluation: Mapping[str, Any], gate: GateSettings) -> Check:
    name, limit = "new_task_accuracy", gate.min_new_task_accuracy
    accuracy = _list(evaluation.get("accuracy"))
    value = _number(accuracy[-1]) if accuracy else None
    if value is None:
        return Check(name, None, limit, False, "the new task's accuracy is missing or not finite")
    passed = value >= limit - _TOLERANCE
    word = "is" if passed else "is below the floor:"
    detail = f"accuracy of the new task {word} {value:.4f} (at least {limit:g})"
    return Check(name, value, limit, passed, detail)


def _forgetting(evaluation: Mapping[str, Any], gate: GateSettings) -> Check:
    name, limit = "mean_forgetting", gate.max_mean_forgetting
    value = _number(evaluation.get("forgetting"))
    # Forgetting is computed from the accuracies: it means nothing when one of them is unknown.
    unknown = [i for i, a in enumerate(_list(evaluation.get("accuracy")), 1) if _number(a) is None]
    if unknown:
        detail = f"the accuracy of task {unknown[0]} is missing or not finite"
        return Check(name, None, limit, False, detail)
    if value is None:
        return Check(name, None, limit, False, "forgetting is missing or not finite")
    passed = value <= limit + _TOLERANCE
    word = "is" if passed else "is too large:"
    return Check(
        name, value, limit, passed, f"mean forgetting {word} {value:.4f} (at most {limit:g})"
    )


def _relation_drop(evaluation: Mapping[str, Any], gate: GateSettings) -> Check:
    name, limit = "worst_relation_drop", gate.max_relation_drop
    changes = evaluation.get("relation_changes")
    if not isinstance(changes, list):
        return Check(name, None, limit, False, "the changes by relation are missing")
    worst: tuple[float, str] | None = None
    for change in changes:
        relation = str(change.get("relation"))
        support = _number(change.get("support"))
        if support is None:
            return Check(name, None, limit, False, f"the support of {relation!r} is unknown")
        if support < gate.min_relation_support:
            continue
        drop = _number(change.get("change"))
        if drop is None:
            detail = f"the change of {relation!r} is missing or not finite"
            return Check(name, None, limit, False, detail)
        if worst is None or -drop > worst[0]:
            worst = (-drop, relation)
    if worst is None:
        detail = f"no relation known to the champion has {gate.min_relation_support} test rows"
        return Check(name, 0.0, limit, True, detail)
    value = max(worst[0], 0.0)
    passed = value <= limit + _TOLERANCE
    word = "falls by" if passed else "falls too far: by"
    detail = f"the worst relation, {worst[1]!r}, {word} {value:.4f} (at most {limit:g})"
    return Check(name, value, limit, passed, detail)


def _negative_flips(evaluation: Mapping[str, Any], gate: GateSettings) -> Check:
    name, limit = "negative_flips", gate.max_negative_flip_rate
    flips = evaluation.get("negative_flips")
    value = _number(flips.get("rate")) if isinstance(flips, Mapping) else None
    if value is None:
        detail = "the rate of negative flips is missing or not finite"
        return Check(name, None, limit, False, detail)
    passed = value <= limit + _TOLERANCE
    word = "is" if passed else "is too large:"
    return Check(
        name, value, limit, passed, f"negative flip rate {word} {value:.4f} (at most {limit:g})"
    )


def _number(value: object) -> float | None:
    """The value as a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
