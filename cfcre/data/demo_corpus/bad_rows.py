"""Rows with one mistake each, so that the demo shows quarantine at work."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from cfcre.data.schema import RelationExample

__all__ = ["make_bad_rows"]


def make_bad_rows(
    examples: Sequence[RelationExample], earlier: Sequence[RelationExample]
) -> list[dict[str, Any]]:
    """Break copies of correct rows, each in one way.

    Args:
        examples: Correct rows of the batch that the bad rows go into.
        earlier: Rows of an earlier batch; one of its test rows is handed in for training.

    Returns:
        Eight JSON objects. The id is ``bad-`` and the reason code that intake must give, with
        hyphens for underscores.
    """
    training = [example for example in examples if example.split == "train"]
    leaked = next(example for example in earlier if example.split == "test")

    def broken(number: int, reason: str) -> dict[str, Any]:
        row = copy.deepcopy(training[number].to_json())
        row["id"] = f"bad-{reason}"
        # Otherwise a row whose mistake is overlooked would pass as a duplicate of its original.
        row["text"] = f"{row['text']} So much is certain."
        return row

    out_of_range = broken(0, "span-out-of-range")
    out_of_range["tail"]["end"] = len(out_of_range["text"]) + 40

    inverted = broken(1, "span-inverted")
    inverted["head"] = {"start": inverted["head"]["end"], "end": inverted["head"]["start"]}

    overlapping = broken(2, "spans-overlap")
    start = overlapping["head"]["start"]
    overlapping["tail"] = {"start": start + 1, "end": overlapping["head"]["end"] + 1}

    incomplete = broken(3, "missing-field")
    del incomplete["tail"]

    wrong_type = broken(4, "wrong-type")
    wrong_type["text"] = 1947

    no_relation = broken(5, "no-relation-label")
    no_relation["relation"] = "no_relation"

    duplicate = {**training[6].to_json(), "id": "bad-duplicate"}
    leak = {**leaked.to_json(), "id": "bad-duplicate-of-earlier-test", "split": "train"}
    return [
        out_of_range,
        inverted,
        overlapping,
        incomplete,
        wrong_type,
        no_relation,
        duplicate,
        leak,
    ]
