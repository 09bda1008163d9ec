"""The order in which a benchmark's relations arrive: the rule that the literature shares."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from cfcre.errors import ConfigurationError

__all__ = ["SEEDS", "order_seed", "task_relations"]

#: Seeds of the five orders that published results are averages over.
SEEDS = (2021, 2121, 2221, 2321, 2421)


def order_seed(order: int) -> int:
    """Seed of an order.

    Raises:
        ConfigurationError: There is no such order.
    """
    if not 0 <= order < len(SEEDS):
        raise ConfigurationError(
            f"there is no task order {order}; the literature's orders are 0 to {len(SEEDS) - 1}"
        )
    return SEEDS[order]


def task_relations(relations: Sequence[str], seed: int, per_task: int) -> list[list[str]]:
    """Relations of each task.

    Shuffle ``range(R)`` with ``random.seed(seed)`` and take the argsort of the result; task t holds
    places ``per_task * (t - 1)`` to ``per_task * t``. Source: the code of RP-CRE, CRL, ACA and
    CEAR, which share it. Where R is no multiple of ``per_task``, the last task is smaller.

    Args:
        relations: All relations in the data set's own order, which the rule depends on.
        seed: One of :data:`SEEDS`.
        per_task: Relations of a task.
    """
    shuffled = list(range(len(relations)))
    random.Random(seed).shuffle(shuffled)
    order = np.argsort(shuffled, kind="stable")
    return [
        [relations[i] for i in order[start : start + per_task]]
        for start in range(0, len(order), per_task)
    ]
