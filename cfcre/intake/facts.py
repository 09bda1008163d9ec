"""Tables of facts about rows, for the suites to judge: numbers, flags and codes, never text."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any

from cfcre.config import IntakeSettings
from cfcre.data.schema import RelationExample
from cfcre.intake.rows import RawRow

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["between_facts", "label_problem", "relation_facts", "row_facts"]

_LONGEST_LABEL = 200
_RESERVED = ("hybrid:", "reversed:")
_LARGE = 2**62  # offsets beyond 64 bits are clipped to it: out of range all the same


def label_problem(relation: str) -> str | None:
    """What is wrong with a relation's name, or None."""
    if len(relation) > _LONGEST_LABEL:
        return f"{len(relation)} characters; at most {_LONGEST_LABEL}"
    if relation != relation.strip():
        return "white space at its start or end"
    if not relation.isprintable() and any(not c.isprintable() and c != " " for c in relation):
        return "it holds a control or other invisible character"
    if relation.startswith(_RESERVED):
        return f"the beginnings {' and '.join(_RESERVED)} are kept for augmentation"
    return None


def row_facts(
    rows: Sequence[RawRow],
    rules: IntakeSettings,
    fits: Callable[[Sequence[RelationExample]], Sequence[bool]],
) -> pd.DataFrame:
    """One line a row: what it is by itself.

    Raises:
        RuntimeError: ``fits`` did not answer for every row it was asked for.
    """
    import pandas as pd

    surrogates = [row.example is not None and not _encodable(row.example) for row in rows]
    readable = [
        row.example
        for row, surrogate in zip(rows, surrogates, strict=True)
        if row.example is not None
        and not surrogate
        and row.problem is None
        and len(row.example.text) <= rules.max_text_chars
    ]
    answers = [bool(answer) for answer in fits(readable)] if readable else []
    if len(answers) != len(readable):
        raise RuntimeError(f"{len(answers)} answers about the length of {len(readable)} rows")
    fitting = {id(example): answer for example, answer in zip(readable, answers, strict=True)}
    return pd.DataFrame(
        {
            "row": [row.index for row in rows],
            "source": [html.escape(_printable(row.source)) for row in rows],
            "form": [row.problem.reason if row.problem else "ok" for row in rows],
            **_span_facts(rows),
            "lone_surrogates": [int(surrogate) for surrogate in surrogates],
            "characters": [len(row.example.text) if row.example else 0 for row in rows],
            # Rows that could not be asked about have another reason already.
            "fits_encoder": [fitting.get(id(row.example), True) for row in rows],
            "label": [_label(row.relation, rules) for row in rows],
        }
    )


def _span_facts(rows: Sequence[RawRow]) -> dict[str, list[int]]:
    facts: dict[str, list[int]] = {
        "units_out_of_range": [],
        "empty_spans": [],
        "inverted_spans": [],
        "shared_units": [],
    }
    for row in rows:
        reading = row.reading
        # An entity that its document does not have is out of range without any numbers.
        missing = row.problem is not None and row.problem.reason == "span_out_of_range"
        outside, empty, inverted, shared = int(missing), 0, 0, 0
        if reading is not None:
            head, tail = reading.head, reading.tail
            ends = (*head, *tail)
            outside = min(_LARGE, max(0, -min(ends)) + max(0, max(ends) - reading.length))
            empty = (head[0] == head[1]) + (tail[0] == tail[1]) + reading.blank
            inverted = (head[0] > head[1]) + (tail[0] > tail[1])
            shared = min(_LARGE, max(0, min(head[1], tail[1]) - max(head[0], tail[0])))
        facts["units_out_of_range"].append(outside)
        facts["empty_spans"].append(empty)
        facts["inverted_spans"].append(inverted)
        facts["shared_units"].append(shared)
    return facts


def _label(relation: str | None, rules: IntakeSettings) -> str:
    if relation is None:
        return "unknown"
    if not relation.strip():
        return "empty_relation"
    if relation in rules.no_relation_labels:
        return "no_relation_label"
    return "invalid_relation_name" if label_problem(relation) else "ok"


def between_facts(
    rows: Sequence[tuple[RawRow, RelationExample]],
    earlier_test_keys: Set[str],
    earlier_train_keys: Set[str],
) -> tuple[pd.DataFrame, dict[int, str]]:
    """One line a row: how it stands to other rows.

    Returns:
        The facts, and for rows that conflict with or repeat another one a name of that one.
    """
    import pandas as pd

    labels: dict[str, dict[str, str]] = {}  # input key to relation to the first row's source
    for row, example in rows:
        labels.setdefault(example.input_key, {}).setdefault(example.relation, row.source)
    seen: dict[str, str] = {}
    partners: dict[int, str] = {}
    facts: dict[str, list[Any]] = {
        "row": [],
        "source": [],
        "labels_of_input": [],
        "duplicate": [],
        "duplicate_of_earlier_test": [],
        "test_row_seen_in_training": [],
    }
    for row, example in rows:
        others = labels[example.input_key]
        again = example.content_key in seen
        first = seen.setdefault(example.content_key, row.source)
        if len(others) > 1:
            other = next(name for name in others if name != example.relation)
            partners[row.index] = f"{other[:80]!r} in {others[other]}"
        elif again:
            partners[row.index] = first
        facts["row"].append(row.index)
        facts["source"].append(html.escape(_printable(row.source)))
        facts["labels_of_input"].append(len(others))
        facts["duplicate"].append(again)
        facts["duplicate_of_earlier_test"].append(example.input_key in earlier_test_keys)
        facts["test_row_seen_in_training"].append(
            example.split == "test" and example.input_key in earlier_train_keys
        )
    return pd.DataFrame(facts), partners


def relation_facts(
    rows: Sequence[RawRow], accepted: Sequence[RelationExample], rules: IntakeSettings
) -> tuple[list[str], pd.DataFrame]:
    """One line a relation that the batch means to teach.

    That is every relation with an accepted row, and every relation that brought enough rows but
    lost them all: it must not vanish silently. A stray bad row of another relation teaches nothing
    and is only quarantined.

    Returns:
        The names, and the facts in the same order.
    """
    import pandas as pd

    usable = Counter(example.relation for example in accepted)
    train = Counter(example.relation for example in accepted if example.split == "train")
    given = Counter(row.relation for row in rows if row.relation is not None)
    names = sorted(
        name
        for name, count in given.items()
        if usable[name] or (count >= rules.min_rows_per_relation and _label(name, rules) == "ok")
    )
    facts = {
        "row": list(range(len(names))),
        "relation": [html.escape(_printable(name)) for name in names],
        "accepted": [usable[name] for name in names],
        "accepted_train": [train[name] for name in names],
    }
    return names, pd.DataFrame(facts)


def _encodable(example: RelationExample) -> bool:
    try:
        f"{example.text}{example.relation}{example.id}".encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
