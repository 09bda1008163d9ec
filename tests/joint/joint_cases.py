"""SpERT documents that a tiny model learns in seconds, bad ones of every kind, and a home."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_pipeline import Home, make_home

STAGES = [
    "claim",
    "read_documents",
    "train_spans",
    "evaluate_spans",
    "register_spans",
    "register_extractor",
    "settle",
]
_KINDS = {
    "founded": ("Peop", "Org"),
    "born in": ("Peop", "Loc"),
    "owns": ("Peop", "Org"),
    "wrote": ("Peop", "Work"),
}


def make_documents(
    rows: Callable[..., Sequence[Any]], relations: Sequence[str], count: int, seed: int
) -> list[dict[str, Any]]:
    """``count`` documents of each relation, one relation each."""
    found = []
    for number, row in enumerate(rows(list(relations), count, seed=seed)):
        tokens = row.text.split()
        # Names are single words that the templates use nowhere else.
        head, tail = (tokens.index(row.text[s.start : s.end]) for s in (row.head, row.tail))
        kinds = _KINDS[row.relation]
        found.append(
            {
                "tokens": tokens,
                "entities": [
                    {"start": place, "end": place + 1, "type": kind}
                    for place, kind in zip((head, tail), kinds, strict=True)
                ],
                "relations": [{"head": 0, "tail": 1, "type": row.relation}],
                "orig_id": f"{seed}-{number}",
            }
        )
    return found


def bad_documents() -> dict[str, Any]:
    """Reason to a document that is refused for it."""
    good = {
        "tokens": ["ada", "founded", "orion"],
        "entities": [
            {"start": 0, "end": 1, "type": "Peop"},
            {"start": 2, "end": 3, "type": "Org"},
        ],
        "relations": [{"head": 0, "tail": 1, "type": "founded"}],
    }

    def changed(name: str, **fields: Any) -> dict[str, Any]:
        return {**good, "orig_id": name, **fields}

    def entities(*spans: tuple[int, int, str]) -> list[dict[str, Any]]:
        return [{"start": s, "end": e, "type": t} for s, e, t in spans]

    return {
        "span_out_of_range": changed("far", entities=entities((0, 9, "Peop"), (2, 3, "Org"))),
        "span_inverted": changed("turned", entities=entities((1, 0, "Peop"), (2, 3, "Org"))),
        "span_empty": changed("nothing", entities=entities((1, 1, "Peop"), (2, 3, "Org"))),
        "duplicate_span": changed("twice", entities=entities((0, 1, "Peop"), (0, 1, "Org"))),
        "relation_to_itself": changed(
            "itself", relations=[{"head": 0, "tail": 0, "type": "founded"}]
        ),
        "invalid_type_name": changed("name", entities=entities((0, 1, "Pe\x00op"), (2, 3, "Org"))),
        "missing_field": {"tokens": ["ada"], "orig_id": "no-entities", "relations": []},
        "empty_text": changed("empty", tokens=[], entities=[], relations=[]),
        "not_an_object": ["ada", "founded", "orion"],
        "invalid_split": changed("split", split="dev"),
        "too_long_for_encoder": changed("long", tokens=["ada", "founded", "orion"] * 60),
    }


def joint_home(path: Path, encoder: Path, **settings: Mapping[str, Any]) -> Home:
    """A home whose span model is as tiny as its relation model."""
    values: dict[str, Any] = {
        "spans": {
            "encoder": str(encoder),
            "max_length": 64,
            "max_span_width": 2,
            "epochs": 10,
            "learning_rate": 5e-3,
            "batch_size": 4,
            "dropout": 0.0,
            "hidden_dropout": 0.0,
        },
        "joint": {"min_relation_f1": 0.0, "min_entity_f1": 0.0},
    }
    for section, changes in settings.items():
        values[section] = {**values.get(section, {}), **changes}
    return make_home(path, encoder, **values)


def write_documents(path: Path, documents: Sequence[Any]) -> Path:
    path.write_text(json.dumps(list(documents)), encoding="utf-8")
    return path
