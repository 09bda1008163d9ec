"""Variants of the span model side by side: the ablations of Table 3, and sweeps of open settings.

    python benchmarks/spans_ablation.py --data TRAIN --dev DEV --types TYPES --out DIR
        [--seeds 2021,2121,2221] [--only NAME,NAME] [--variant "NAME: key=value key=value"]...
        [--set key=value]... [--average micro]

Documents are read and tokenised once for all variants that read them the same way. Each finished
run is kept in DIR/runs and not repeated. ``ablation.md`` and ``ablation.csv`` are written after
every run, so an unfinished study can be read. ``--variant`` adds one, for example another encoder:
``--variant "encoder SpanBERT: spans.encoder=FOLDER"``. ``--set`` changes all of them; what a
variant changes holds against it.

Every run also scores its model at other relation thresholds, which costs no training: the file
``thresholds.md`` has the relation F1 of each.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from cfcre.config import load_settings, span_preset
from cfcre.data.files import write_bytes
from cfcre.evaluation.run_store import RunStore
from cfcre.spans.model import SpanModel
from cfcre.spans.running import Corpus, load_corpus, train_model
from cfcre.spans.scoring import score_labels

#: Name to preset and what is changed against it.
ABLATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "spanspanbert": ("spanspanbert", ()),
    "cross entropy": ("spanspanbert", ("spans.entity_loss=cross-entropy",)),
    "temperature 1": ("spanspanbert", ("spans.temperature=1",)),
    "sampling 100": (
        "spanspanbert",
        (
            "spans.entity_negative_ratio=0",
            "spans.entity_negative_floor=100",
            "spans.relation_negative_ratio=0",
            "spans.relation_negative_floor=100",
        ),
    ),
    "spert": ("spert", ()),
}
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TASKS = ("entities", "relations", "relations_strict")


def settings_of(preset: str, changed: tuple[str, ...], common: list[str], seed: int):
    """Settings of a variant."""
    return load_settings(
        home="/nonexistent",
        overrides={**span_preset(preset), "seed": seed},
        assignments=[*common, *changed],
        environ={},
    )


def one_run(corpus: Corpus, settings) -> dict[str, Any]:
    """Train, score, and score again at other thresholds."""
    started = time.perf_counter()
    state, facts = train_model(corpus, settings, every_epoch=False)
    model = SpanModel(state, settings.compute)
    assert corpus.dev is not None
    thresholds = {}
    # Each relation of a pair is decided by itself: those found at the lowest threshold hold those
    # of every other one.
    least = dict.fromkeys(corpus.types.relations, min(THRESHOLDS))
    found = model.predict_encoded(corpus.dev.encoded, relation_thresholds=least)
    for threshold in THRESHOLDS:
        keep = found.relation_score >= np.float32(threshold)
        arrays = ("head", "tail", "relation_type", "relation_score")
        part = replace(found, **{name: getattr(found, name)[keep] for name in arrays})
        scores = score_labels(corpus.dev.gold, part, corpus.types)
        thresholds[f"{threshold:g}"] = scores["relations"].to_json()
    return {
        "scores": facts.epochs[-1].scores,
        "thresholds": thresholds,
        "epoch_seconds": [round(epoch.seconds, 2) for epoch in facts.epochs],
        "seconds": round(time.perf_counter() - started, 1),
    }


def mean_cell(values: list[float]) -> str:
    """Mean and deviation in percent."""
    mean = f"{100 * float(np.mean(values)):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * float(np.std(values, ddof=1)):.2f}"


def report(results: list[tuple[str, int, dict[str, Any]]], out: Path, average: str) -> None:
    """Write the tables of what is finished."""
    names = list(dict.fromkeys(name for name, _, _ in results))
    table = ["| variant | entity | relation | relation, strict | seeds | s/epoch |"]
    table.append("| --- | --- | --- | --- | --- | --- |")
    at = ["| variant | " + " | ".join(f"{t:g}" for t in THRESHOLDS) + " |"]
    at.append("| --- " * (len(THRESHOLDS) + 1) + "|")
    for name in names:
        own = [result for other, _, result in results if other == name]
        cells = [mean_cell([r["scores"][t][average]["f1"] for r in own]) for t in TASKS]
        seconds = float(np.median([s for r in own for s in r["epoch_seconds"]]))
        table.append(f"| {name} | {' | '.join(cells)} | {len(own)} | {seconds:.1f} |")
        row = [
            mean_cell([r["thresholds"][f"{t:g}"][average]["f1"] for r in own]) for t in THRESHOLDS
        ]
        at.append(f"| {name} | {' | '.join(row)} |")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", "seed", "task", "average", "precision", "recall", "f1"])
    for name, seed, result in results:
        for task in TASKS:
            for kind in ("micro", "macro"):
                figures = result["scores"][task][kind]
                values = [f"{figures[f]:.6f}" for f in ("precision", "recall", "f1")]
                writer.writerow([name, seed, task, kind, *values])
    write_bytes(out / "ablation.md", ("\n".join(table) + "\n").encode())
    write_bytes(out / "thresholds.md", ("\n".join(at) + "\n").encode())
    write_bytes(out / "ablation.csv", stream.getvalue().encode())


def main() -> None:
    """Run what is not finished, printing one line a run."""
    parser = argparse.ArgumentParser()
    for name in ("--data", "--dev", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--types", type=Path)
    parser.add_argument("--seeds", default="2021,2121,2221")
    parser.add_argument("--only", help="names of variants, separated by commas")
    parser.add_argument("--variant", action="append", default=[])
    parser.add_argument("--average", choices=["micro", "macro"], default="micro")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    variants = dict(ABLATIONS)
    for text in args.variant:
        name, _, changes = text.partition(":")
        variants[name.strip()] = ("spanspanbert", tuple(changes.split()))
    if args.only:
        wanted = [name.strip() for name in args.only.split(",")]
        unknown = sorted(set(wanted) - set(variants))
        if unknown:
            parser.error(f"no variant {unknown[0]!r}; there are {', '.join(variants)}")
        variants = {name: variants[name] for name in wanted}
    seeds = [int(seed) for seed in args.seeds.split(",")]
    print(describe(seeds[0]), flush=True)
    store = RunStore(args.out)
    corpora: dict[tuple[str, int, int], Corpus] = {}
    results: list[tuple[str, int, dict[str, Any]]] = []
    for seed in seeds:
        for name, (preset, changed) in variants.items():
            settings = settings_of(preset, changed, args.assignments, seed)
            spans = settings.spans
            key = (spans.encoder, spans.max_length, spans.max_span_width)
            if key not in corpora:
                corpora[key] = load_corpus(args.data, args.dev, args.types, settings)
            corpus = corpora[key]
            decides = {
                "settings": spans.model_dump(mode="json"),
                "precision": settings.compute.precision,
                "seed": seed,
                "data": {part: about["sha256"] for part, about in corpus.about.items()},
                "types": corpus.types.to_json(),
            }
            result, before = store.run(
                f"{name} seed={seed}", decides, lambda c=corpus, s=settings: one_run(c, s)
            )
            results.append((name, seed, result))
            f1 = ", ".join(
                f"{task} {100 * result['scores'][task][args.average]['f1']:.2f}" for task in TASKS
            )
            took = "finished before" if before else f"{result['seconds']:.0f} s"
            print(f"{name}, seed {seed}: {f1}  {took}", flush=True)
            report(results, args.out, args.average)


if __name__ == "__main__":
    main()
