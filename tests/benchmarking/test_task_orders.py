"""The literature's order rule gives the published orders."""

from __future__ import annotations

import json
import random

import pytest

from cfcre.benchmarking.orders import SEEDS, order_seed, task_relations
from cfcre.benchmarking.relation_lists import FEWREL_RELATIONS, TACRED_LEFT_OUT, TACRED_RELATIONS
from cfcre.errors import ConfigurationError


@pytest.mark.shared
def test_fewrel_orders_are_those_written_out(shared_data):
    written = json.loads((shared_data / "fewrel" / "task_orders.json").read_text())
    assert tuple(written["seeds"]) == SEEDS
    for order, tasks in enumerate(written["orders"]):
        assert task_relations(FEWREL_RELATIONS, order_seed(order), 8) == tasks


def test_the_rule_written_out_by_hand():
    names = [f"r{i}" for i in range(11)]
    for seed in SEEDS:
        shuffled = list(range(11))
        random.Random(seed).shuffle(shuffled)
        # argsort: place k holds the index of the k-th smallest, so of the value k.
        flat = [names[shuffled.index(value)] for value in range(11)]
        tasks = task_relations(names, seed, 4)
        assert [len(t) for t in tasks] == [4, 4, 3]
        assert [r for t in tasks for r in t] == flat


def test_the_lists_have_the_published_sizes():
    assert len(set(FEWREL_RELATIONS)) == len(FEWREL_RELATIONS) == 80
    assert len(set(TACRED_RELATIONS)) == len(TACRED_RELATIONS) == 40
    assert not set(TACRED_RELATIONS) & set(TACRED_LEFT_OUT)
    # Two orders are never the same.
    assert len({str(task_relations(TACRED_RELATIONS, s, 4)) for s in SEEDS}) == 5


@pytest.mark.parametrize("order", [-1, 5])
def test_an_order_that_does_not_exist(order):
    with pytest.raises(ConfigurationError, match="0 to 4"):
        order_seed(order)
