"""Label noise by a transition matrix: how much do wrong labels cost?

``T[i, j]`` is the probability that a label of type i is written as j, with rate r and K types:

* ``symmetric``: 1 − r on the diagonal, r / (K − 1) everywhere else;
* ``pair-flip``: 1 − r on the diagonal, r for the next type, cyclically.

Types of entities and of relations are corrupted, each label by itself; spans stay as they are.
With a single type nothing can be confused, so its labels stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from cfcre.errors import ConfigurationError
from cfcre.spans.documents import LabelTypes
from cfcre.spans.gold import GoldLabels

__all__ = ["NOISE_KINDS", "Noise", "NoiseKind", "corrupt_labels", "transition_matrix"]

NoiseKind = Literal["symmetric", "pair-flip"]
NOISE_KINDS: tuple[NoiseKind, ...] = get_args(NoiseKind)

Matrix = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """What a corruption did.

    Attributes:
        entities: Labels of entities.
        changed_entities: Of these, written as another type.
        relations: Labels of relations.
        changed_relations: The same.
    """

    entities: int
    changed_entities: int
    relations: int
    changed_relations: int


def transition_matrix(kind: NoiseKind, rate: float, types: int) -> Matrix:
    """T, ``[types, types]``; every row sums to one.

    Args:
        kind: ``symmetric`` or ``pair-flip``.
        rate: r in [0, 1].
        types: K ≥ 1.

    Raises:
        ConfigurationError: The kind is unknown or the rate is no probability.
    """
    if kind not in NOISE_KINDS:
        raise ConfigurationError(f"noise {kind!r}; accepted: {', '.join(NOISE_KINDS)}")
    if not 0 <= rate <= 1:
        raise ConfigurationError(f"noise rate {rate}; accepted: 0 to 1")
    if types == 1:
        return np.ones((1, 1))
    if kind == "symmetric":
        matrix = np.full((types, types), rate / (types - 1))
        np.fill_diagonal(matrix, 1 - rate)
        return matrix
    return np.asarray((1 - rate) * np.eye(types) + rate * np.roll(np.eye(types), 1, axis=1))


def corrupt_labels(
    gold: GoldLabels, types: LabelTypes, kind: NoiseKind, rate: float, seed: int
) -> tuple[GoldLabels, Noise]:
    """Draw each label's type anew from its row of the matrix.

    A relation that became one that holds both ways goes from the entity that stands first, as every
    such relation does.

    Args:
        gold: Labels to corrupt; left as they are.
        types: Of the labels.
        kind: ``symmetric`` or ``pair-flip``.
        rate: Probability of another type.
        seed: The same seed gives the same labels.

    Returns:
        The noisy labels, and what was changed.
    """
    generator = np.random.default_rng([seed, NOISE_KINDS.index(kind), round(rate * 1_000_000)])
    matrix = transition_matrix(kind, rate, len(types.entities))
    entity_type = _draw(matrix, gold.entity_type - 1, generator) + 1
    matrix = transition_matrix(kind, rate, len(types.relations))
    relation_type = _draw(matrix, gold.relation_type, generator)
    symmetric = np.array([name in types.symmetric for name in types.relations])
    place = gold.entity_start * (int(gold.entity_end.max(initial=0)) + 1) + gold.entity_end
    swapped = symmetric[relation_type] & (place[gold.tail] < place[gold.head])
    noisy = replace(
        gold,
        entity_type=entity_type,
        relation_type=relation_type,
        head=np.where(swapped, gold.tail, gold.head),
        tail=np.where(swapped, gold.head, gold.tail),
    )
    return noisy, Noise(
        len(entity_type),
        int((entity_type != gold.entity_type).sum()),
        len(relation_type),
        int((relation_type != gold.relation_type).sum()),
    )


def _draw(matrix: Matrix, labels: Index, generator: np.random.Generator) -> Index:
    cumulative = np.cumsum(matrix, axis=1)
    # The last sum can fall short of one by rounding; a draw beyond it is the last type.
    cumulative[:, -1] = 1.0
    draws = generator.random(len(labels))
    return np.asarray((draws[:, None] >= cumulative[labels]).sum(axis=1), dtype=np.int64)
