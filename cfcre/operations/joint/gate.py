"""The gate of span models: may this candidate replace the champion?

A pure function of the evaluation and the limits, by the rules of :mod:`cfcre.operations.gate`: a
value at its limit passes, and a number that is missing or not finite fails its rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from cfcre.config import JointSettings
from cfcre.operations.gate import Check, Verdict

__all__ = ["judge_spans"]

# As in the gate of relation models: floating point must not decide at the limit.
_TOLERANCE = 1e-9
_LABELS = {"entities": "entity F1", "relations": "relation F1"}


def judge_spans(evaluation: Mapping[str, Any], limits: JointSettings) -> Verdict:
    """Judge a candidate.

    Without a champion only the two floors apply.

    Args:
        evaluation: What :func:`cfcre.operations.joint.judging.evaluate_spans` returned.
        limits: The section ``joint``.
    """
    checks = [
        _floor(evaluation, "entities", limits.min_entity_f1),
        _floor(evaluation, "relations", limits.min_relation_f1),
    ]
    if evaluation.get("champion") is not None:
        checks += [
            _drop(evaluation, "entities", limits.max_entity_drop),
            _drop(evaluation, "relations", limits.max_relation_drop),
            _type_drop(evaluation, limits),
        ]
    verdict: Literal["promote", "hold"] = "promote" if all(c.passed for c in checks) else "hold"
    return Verdict(verdict, tuple(checks))


def _floor(evaluation: Mapping[str, Any], kind: str, limit: float) -> Check:
    name, label = f"{kind}_f1", _LABELS[kind]
    value = _f1(evaluation, "candidate", kind)
    if value is None:
        return Check(name, None, limit, False, f"{label} is missing or not finite")
    passed = value >= limit - _TOLERANCE
    word = "is" if passed else "is below the floor:"
    return Check(name, value, limit, passed, f"{label} {word} {value:.4f} (at least {limit:g})")


def _drop(evaluation: Mapping[str, Any], kind: str, limit: float) -> Check:
    name, label = f"{kind}_drop", _LABELS[kind]
    ours, theirs = (_f1(evaluation, which, kind) for which in ("candidate", "champion"))
    if ours is None or theirs is None:
        return Check(name, None, limit, False, f"{label} of one model is missing or not finite")
    value = max(theirs - ours, 0.0)
    passed = value <= limit + _TOLERANCE
    word = "falls by" if passed else "falls too far: by"
    detail = f"{label} {word} {value:.4f} against the champion (at most {limit:g})"
    return Check(name, value, limit, passed, detail)


def _type_drop(evaluation: Mapping[str, Any], limits: JointSettings) -> Check:
    name, limit = "worst_type_drop", limits.max_type_drop
    changes = evaluation.get("changes")
    if not isinstance(changes, list):
        return Check(name, None, limit, False, "the changes by type are missing")
    worst: tuple[float, str] | None = None
    for change in changes:
        support = _number(change.get("support"))
        fall = _number(change.get("change"))
        shown = f"{change.get('type')!r} ({change.get('kind')})"
        if support is None or fall is None:
            return Check(name, None, limit, False, f"the change of {shown} is not known")
        if support >= limits.min_type_support and (worst is None or -fall > worst[0]):
            worst = (-fall, shown)
    if worst is None:
        detail = f"no type has {limits.min_type_support} held-out labels"
        return Check(name, 0.0, limit, True, detail)
    value = max(worst[0], 0.0)
    passed = value <= limit + _TOLERANCE
    word = "falls by" if passed else "falls too far: by"
    detail = f"the worst type, {worst[1]}, {word} {value:.4f} (at most {limit:g})"
    return Check(name, value, limit, passed, detail)


def _f1(evaluation: Mapping[str, Any], which: str, kind: str) -> float | None:
    found: Any = evaluation
    for key in (which, "all", kind, "micro", "f1"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return _number(found)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
