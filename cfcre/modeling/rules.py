"""Prediction rules: how a representation becomes one score a relation.

A rule reads unit-length representations and gives a score for every relation, larger for nearer,
and probabilities. A method names its rule; the learner state keeps the name and the tensors that it
needs (``state.extras``), so that any state is served by the same predictor.

====================  ==========================================================
rule                  scores
====================  ==========================================================
``nearest-prototype``  eq. 12: cosine with the relation's prototype
``linear``             ``W h + b``
``attention-memory``   cosine of RP-CRE's refined representation with the relation embedding
``blended``            classifier's and nearest prototype's probabilities: :mod:`.blended`
``anchored``            nearest prototype and frozen features' classifier: :mod:`.anchored`
====================  ==========================================================

A new rule is one class and one entry of :data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfcre.errors import StateError
from cfcre.modeling.anchor import PARTS
from cfcre.modeling.anchored import ANCHORED, Anchored
from cfcre.modeling.attention_memory import AttentionMemory
from cfcre.modeling.blended import BLENDED, Blended
from cfcre.modeling.losses import cosine_similarity
from cfcre.modeling.prediction import probabilities

__all__ = [
    "NEAREST_PROTOTYPE",
    "RULES",
    "Array",
    "AttentionOverPrototypes",
    "Linear",
    "NearestPrototype",
    "PredictionRule",
    "make_rule",
    "rule_tensor",
]

Array = npt.NDArray[np.float32]

#: The rule of eq. 12 and 13, and of every state that names none.
NEAREST_PROTOTYPE = "nearest-prototype"

#: Rows that attend to the prototypes at once.
_ROWS = 4096


class PredictionRule(Protocol):
    """Scores of relations for representations; see the module."""

    def scores(self, unit: Array) -> Array:
        """Score of each relation, float32 ``[N, R]``, larger is nearer.

        Args:
            unit: Representations of unit length, float32 ``[N, d]``.
        """

    def probabilities(self, scores: Array) -> Array:
        """Probabilities from :meth:`scores`, float32 ``[N, R]``; rows sum to one."""


class NearestPrototype:
    """Eq. 12: the cosine with each prototype; probabilities are the softmax of it, scaled.

    Args:
        prototypes: Unit rows, float32 ``[R, d]``.
        scale: Factor on the cosine in the softmax (``method.similarity_scale``).
    """

    def __init__(self, prototypes: Array, scale: float) -> None:
        self._prototypes = prototypes
        self._scale = scale

    def scores(self, unit: Array) -> Array:
        """Cosines in [-1, 1]."""
        return np.asarray(unit @ self._prototypes.T)

    def probabilities(self, scores: Array) -> Array:
        """``softmax(scale * cosine)``; not calibrated."""
        return probabilities(scores, self._scale)


class Linear:
    """A linear classifier of unit representations: ``W h + b``, and its softmax.

    Args:
        weight: W, float32 ``[R, d]``.
        bias: b, float32 ``[R]``.
    """

    def __init__(self, weight: Array, bias: Array) -> None:
        self._weight = weight
        self._bias = bias

    def scores(self, unit: Array) -> Array:
        """Logits."""
        return np.asarray(unit @ self._weight.T + self._bias)

    def probabilities(self, scores: Array) -> Array:
        """Softmax of the logits."""
        return probabilities(scores, 1.0)


class AttentionOverPrototypes:
    """RP-CRE: the refined representation's cosine with each relation embedding.

    Args:
        memory: Trained attention.
        prototypes: What it attends to, float32 ``[R, d]``.
        relation_embeddings: The classifier's rows, float32 ``[R, d]``.
        scale: Factor on the cosine in the softmax (``method.similarity_scale``).
    """

    def __init__(
        self,
        memory: AttentionMemory,
        prototypes: Array,
        relation_embeddings: Array,
        scale: float,
    ) -> None:
        self._memory = memory.eval()
        self._prototypes = torch.from_numpy(prototypes)
        self._relation_embeddings = torch.from_numpy(relation_embeddings)
        self._scale = scale

    def scores(self, unit: Array) -> Array:
        """Cosines in [-1, 1]."""
        with torch.inference_mode():
            rows = torch.from_numpy(np.asarray(unit, dtype=np.float32))
            # In parts: each row has weights over all prototypes in every head.
            parts = [
                cosine_similarity(
                    self._memory(rows[start : start + _ROWS], self._prototypes),
                    self._relation_embeddings,
                )
                for start in range(0, max(len(rows), 1), _ROWS)
            ]
            return np.asarray(torch.cat(parts).numpy())

    def probabilities(self, scores: Array) -> Array:
        """``softmax(scale * cosine)``; not calibrated."""
        return probabilities(scores, self._scale)


#: Builds a rule from prototypes ``[R, d]``, the state's extras, and the scale of cosines.
RuleFactory = Callable[[Array, Mapping[str, Tensor], float], PredictionRule]


def _nearest_prototype(
    prototypes: Array, extras: Mapping[str, Tensor], scale: float
) -> PredictionRule:
    return NearestPrototype(prototypes, scale)


def _linear(prototypes: Array, extras: Mapping[str, Tensor], scale: float) -> PredictionRule:
    return Linear(
        rule_tensor(extras, "linear.weight", prototypes.shape),
        rule_tensor(extras, "linear.bias", prototypes.shape[:1]),
    )


def _attention(prototypes: Array, extras: Mapping[str, Tensor], scale: float) -> PredictionRule:
    relations = rule_tensor(extras, "attention.relations", prototypes.shape)
    size = prototypes.shape[1]
    rule_tensor(extras, "attention.query", (-1, -1, size))
    prefix = "attention."
    tensors = {k.removeprefix(prefix): v.float() for k, v in extras.items() if k.startswith(prefix)}
    del tensors["relations"]
    try:
        memory = AttentionMemory.from_tensors(tensors)
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise StateError(
            f"the learner state's attention does not fit together: {problem}"
        ) from None
    return AttentionOverPrototypes(memory, prototypes, relations, scale)


def _blended(prototypes: Array, extras: Mapping[str, Tensor], scale: float) -> PredictionRule:
    relations, size = prototypes.shape
    first = rule_tensor(extras, f"{BLENDED}.first.weight", (-1, size))
    second = rule_tensor(extras, f"{BLENDED}.second.weight", (-1, len(first)))
    return Blended(
        rule_tensor(extras, f"{BLENDED}.classifier", (relations, size)),
        (
            first,
            rule_tensor(extras, f"{BLENDED}.first.bias", (len(first),)),
            second,
            rule_tensor(extras, f"{BLENDED}.second.bias", (len(second),)),
        ),
        rule_tensor(extras, f"{BLENDED}.anchors", (relations, len(second))),
        alpha=float(rule_tensor(extras, f"{BLENDED}.alpha", ())),
        scale=scale,
        tau=float(rule_tensor(extras, f"{BLENDED}.tau", ())),
    )


def _anchored(prototypes: Array, extras: Mapping[str, Tensor], scale: float) -> PredictionRule:
    relations, size = prototypes.shape
    return Anchored(
        prototypes,
        rule_tensor(extras, "anchor.weight", (relations, PARTS * size)),
        rule_tensor(extras, "anchor.bias", (relations,)),
        share=float(rule_tensor(extras, "anchor.share", ())),
        scale=scale,
    )


RULES: dict[str, RuleFactory] = {
    NEAREST_PROTOTYPE: _nearest_prototype,
    "linear": _linear,
    "attention-memory": _attention,
    BLENDED: _blended,
    ANCHORED: _anchored,
}


def make_rule(
    name: str, prototypes: Array, extras: Mapping[str, Tensor], scale: float
) -> PredictionRule:
    """The prediction rule of a learner state.

    Args:
        name: ``state.rule``.
        prototypes: Unit rows in catalogue order, float32 ``[R, d]``.
        extras: ``state.extras``.
        scale: ``method.similarity_scale`` of the state.

    Raises:
        StateError: There is no such rule, or a tensor that it needs is missing or misshapen.
    """
    if name not in RULES:
        raise StateError(
            f"the learner state predicts by the rule {name!r}, which this version does not know; "
            f"it knows {', '.join(RULES)}"
        )
    return RULES[name](prototypes, extras, scale)


def rule_tensor(extras: Mapping[str, Tensor], key: str, shape: tuple[int, ...]) -> Array:
    """A tensor that a rule needs, as float32 on the CPU.

    Args:
        extras: ``state.extras``.
        key: Its name there.
        shape: What it must have; -1 stands for any size.

    Raises:
        StateError: It is missing or has another shape.
    """
    if key not in extras:
        raise StateError(f"the learner state lacks the tensor {key!r} that its rule predicts with")
    found = tuple(extras[key].shape)
    if len(found) != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, found, strict=True)
    ):
        raise StateError(f"the tensor {key!r} has the shape {found}; its rule needs {shape}")
    return np.asarray(extras[key].detach().cpu().float().numpy())
