"""A FewRel-like folder of template sentences, and the command that learns it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

RELATIONS = ["founded", "born in", "owns", "wrote", "located in", "married to"]


def fewrel_row(example) -> dict:
    """An example in FewRel's form."""
    tokens = example.text.split(" ")

    def entity(span):
        start = example.text[: span.start].count(" ")
        places = list(range(start, start + example.text[span.start : span.end].count(" ") + 1))
        return [example.text[span.start : span.end], None, [places]]

    return {"tokens": tokens, "h": entity(example.head), "t": entity(example.tail)}


def write_fewrel(folder: Path, rows, *, train: int = 12, held_out: int = 6) -> Path:
    """``train.json.gz`` and ``val.json`` of six relations."""
    folder.mkdir(parents=True, exist_ok=True)
    every = {r: rows([r], train + held_out, seed=i) for i, r in enumerate(RELATIONS)}
    parts = {
        "train.json.gz": {r: [fewrel_row(e) for e in v[:train]] for r, v in every.items()},
        "val.json": {r: [fewrel_row(e) for e in v[train:]] for r, v in every.items()},
    }
    for name, part in parts.items():
        raw = json.dumps(part).encode()
        (folder / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith("gz") else raw)
    return folder


def command(
    data: Path, encoder: Path, out: Path, *more: str, methods: str = "finetune,cf-cre"
) -> list[str]:
    """Arguments of ``cfcre`` for three tasks of two relations with the tiny encoder."""
    words = ["benchmark", "--dataset", "fewrel", "--data", str(data), "--methods", methods]
    words += ["--orders", "0-1", "--relations-per-task", "2", "--encoder", str(encoder)]
    words += ["--device", "cpu", "--out", str(out), "--no-mlflow", *settings()]
    return [*words, *more]


def settings() -> Sequence[str]:
    """Quick training of the tiny encoder."""
    values = {
        "method.learning_rate": 2e-3,
        "method.head_learning_rate": 5e-3,
        "method.epoch1": 2,
        "method.epoch2": 1,
        "method.batch_size": 16,
        "method.projection_hidden": 16,
        "method.projection_size": 8,
        "encoder.max_length": 64,
        "compute.precision": "float32",
        "compute.threads": 1,
    }
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
