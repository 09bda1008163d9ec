"""Precision, recall and F1 as SpERT scores them, on integer-coded tuples.

An entity counts if span and type are right. A relation counts *relaxed* if its type and both spans
are right, and *strict* if the types of both entities are right too. Micro figures are over all
types together; macro figures are means over the types that occur in the labels or in the
predictions. A relation that holds both ways is the same tuple in both directions: labels and
predictions give it from the entity that stands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cfcre.spans.documents import LabelTypes

__all__ = ["Figures", "Labels", "Scores", "TypeFigures", "score_labels"]

Index = npt.NDArray[np.int64]


class Labels(Protocol):
    """Entities and relations in packed arrays: gold labels and predictions alike."""

    @property
    def entity_document(self) -> Index:
        """Document of each entity."""

    @property
    def entity_start(self) -> Index:
        """First word."""

    @property
    def entity_end(self) -> Index:
        """Exclusive."""

    @property
    def entity_type(self) -> Index:
        """Counted from 1."""

    @property
    def head(self) -> Index:
        """Entity of each relation's head."""

    @property
    def tail(self) -> Index:
        """Entity of each relation's tail."""

    @property
    def relation_type(self) -> Index:
        """Counted from 0."""


@dataclass(frozen=True)
class Figures:
    """Fractions in [0, 1]; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class TypeFigures(Figures):
    """The same for one type, with its counts."""

    support: int
    predicted: int
    correct: int


@dataclass(frozen=True)
class Scores:
    """One task's figures.

    Attributes:
        micro: Over all types together.
        macro: Means over the types that occur in labels or predictions.
        per_type: By name, in the order of the types.
    """

    micro: Figures
    macro: Figures
    per_type: dict[str, TypeFigures]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "micro": vars(self.micro),
            "macro": vars(self.macro),
            "per_type": {name: vars(figures) for name, figures in self.per_type.items()},
        }


def score_labels(gold: Labels, predicted: Labels, types: LabelTypes) -> dict[str, Scores]:
    """Score predictions.

    Returns:
        ``entities``, ``relations`` (relaxed) and ``relations_strict``.
    """
    both = (gold, predicted)
    spans = _codes([(p.entity_document, p.entity_start, p.entity_end) for p in both])
    typed = _codes([(s, p.entity_type) for s, p in zip(spans, both, strict=True)])

    def pairs(ends: Sequence[Index]) -> list[Index]:
        return _codes(
            [(e[p.head], e[p.tail], p.relation_type) for e, p in zip(ends, both, strict=True)]
        )

    relation_types = [p.relation_type for p in both]
    return {
        "entities": _score(typed, [p.entity_type - 1 for p in both], types.entities),
        "relations": _score(pairs(spans), relation_types, types.relations),
        "relations_strict": _score(pairs(typed), relation_types, types.relations),
    }


def _codes(parts: Sequence[tuple[Index, ...]]) -> list[Index]:
    """A number for each distinct tuple, the same in every part.

    Numbers stay below the count of tuples, so codes of codes never outgrow 64 bits.
    """
    sizes = [len(part[0]) for part in parts]
    code = np.zeros(sum(sizes), dtype=np.int64)
    for column in zip(*parts, strict=True):
        values = np.concatenate(column)
        _, values = np.unique(values, return_inverse=True)
        _, code = np.unique(code * (int(values.max(initial=0)) + 1) + values, return_inverse=True)
    return [np.asarray(c, dtype=np.int64) for c in np.split(code, np.cumsum(sizes)[:-1])]


def _score(codes: Sequence[Index], kinds: Sequence[Index], names: Sequence[str]) -> Scores:
    count = len(names)
    (gold, gold_first), (found, found_first) = (np.unique(c, return_index=True) for c in codes)
    right = np.isin(found, gold, assume_unique=True)
    support = np.bincount(kinds[0][gold_first], minlength=count)
    predicted = np.bincount(kinds[1][found_first], minlength=count)
    correct = np.bincount(kinds[1][found_first[right]], minlength=count)
    per_type = {
        name: TypeFigures(*_figures(c, p, s), int(s), int(p), int(c))
        for name, s, p, c in zip(names, support, predicted, correct, strict=True)
    }
    seen = [f for f in per_type.values() if f.support or f.predicted]
    macro = [
        float(np.mean([getattr(f, field) for f in seen])) if seen else 0.0
        for field in ("precision", "recall", "f1")
    ]
    micro = _figures(int(correct.sum()), int(predicted.sum()), int(support.sum()))
    return Scores(Figures(*micro), Figures(*macro), per_type)


def _figures(correct: int, predicted: int, support: int) -> tuple[float, float, float]:
    precision = correct / predicted if predicted else 0.0
    recall = correct / support if support else 0.0
    both = precision + recall
    return float(precision), float(recall), float(2 * precision * recall / both) if both else 0.0
