"""What each part of ``cf-cre-plus`` is worth, and what was tried beside it.

    python benchmarks/plus_changes.py --data FEWREL --out DIR [--orders 0,1,2] [--rows 30]
        [--eval 20:40] [--only "NAME; NAME"] [--set key=value]...

Each variant changes one thing of ``cf-cre``, or several where its name says so, and learns the same
tasks. Learned once, a stream is scored under many rules of prediction: they cost no training. Rows
20 to 40 of the validation file are not those that docs/RESULTS.md reports (0 to 20).

Finished runs are kept in DIR/runs and not repeated; ``changes.md`` is written after every run, with
all that are finished there. Names in ``--only`` are separated by semicolons.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fewrel import load_rows, task_order
from machine import describe
from training_changes import as_it_is, distilled, warmed_up

from cfcre.benchmarking.statistics import paired_interval
from cfcre.config import Settings, load_settings
from cfcre.data.files import write_bytes
from cfcre.data.schema import RelationExample
from cfcre.evaluation.run_store import RunStore
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import augment_task, consolidate_task, remember_task, start_task
from cfcre.modeling.prototypes import class_means, prediction_prototypes
from cfcre.modeling.second_order import SecondOrder

Rows = Sequence[RelationExample]


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        assignments: Settings against the defaults of ``cf-cre``.
        tasks: Tasks learned; those of a change that is only looked at are fewer.
        replayed: Which of the task's rows phase two replays beside the memory.
        around: What a task is learned in.
    """

    assignments: tuple[str, ...] = ()
    tasks: int = 5
    replayed: Callable[[Rows], Rows] = lambda train: train
    around: Callable[[LearnerState, Settings], AbstractContextManager[None]] = as_it_is


BASE = "cf-cre"
PLUS = "cf-cre-plus"
VARIANTS: dict[str, Variant] = {
    BASE: Variant(tasks=10),
    PLUS: Variant(("method.name=cf-cre-plus",), tasks=10),
    "scale 1 (the papers' bare cosine)": Variant(("method.similarity_scale=1",)),
    "scale 10": Variant(("method.similarity_scale=10",)),
    "encoder's rate 5e-5": Variant(("method.learning_rate=5e-5",)),
    "encoder's rate 2e-4": Variant(("method.learning_rate=2e-4",)),
    "head's rate 1e-3": Variant(("method.head_learning_rate=1e-3",)),
    "four rounds": Variant(("method.epoch2=4",)),
    "four epochs of L_new": Variant(("method.epoch1=4",)),
    # The memory holds ten examples of every relation, the new ones included: all count the same.
    "class-balanced replay": Variant(replayed=lambda train: ()),
    "class-balanced replay, four rounds": Variant(("method.epoch2=4",), replayed=lambda train: ()),
    "similarity distillation (CRL's) in reconsolidation": Variant(around=distilled),
    "head warm-up": Variant(around=warmed_up),
    "no ACA": Variant(("augmentation.hybrid=false", "augmentation.reversed=false")),
    "no L_cl, no L_fl (emar-aca)": Variant(("method.name=emar-aca",)),
}
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
SHRINKAGE = (0.05, 0.1, 0.3, 0.6)
#: Rules that are looked at after these tasks.
SCORED_AFTER = (5, 10)


def accuracy(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of rows whose best relation is the true one."""
    return float((scores.argmax(axis=1) == truth).mean())


def rules(state: LearnerState, settings: Settings, held_out: Rows) -> dict[str, float]:
    """Accuracy of the state under each rule of prediction, by name; ``as is`` is the method's."""
    predictor = Predictor(state, settings.compute)
    truth = state.labels(list(held_out)).numpy()
    size = predictor.prototypes.shape[1]
    features = predictor.embed(held_out)
    h = features[:, :size]
    stored = torch.from_numpy(predictor.embed(state.memory)[:, :size])
    memory_labels, count = state.labels(state.memory), len(state.catalogue)
    means = class_means(stored, memory_labels, count)
    found = {"as is": accuracy(predictor.rule.scores(features), truth)}

    for weight in (0.0, 0.3, 0.5):
        prototypes = prediction_prototypes(means, state.relation_embeddings, weight)
        found[f"prototypes: relation embedding's share {weight:g}"] = accuracy(
            h @ prototypes.numpy().T, truth
        )
    for share in (0.2, 0.5):
        # James and Stein: estimates of many means gain from moving towards their common mean.
        shrunk = (1 - share) * means + share * means.mean(dim=0)
        unit = torch.nn.functional.normalize(shrunk, dim=-1)
        found[f"prototypes shrunk to their mean by {share:g}"] = accuracy(h @ unit.numpy().T, truth)
    second = SecondOrder.empty(size).add(stored, memory_labels, count)
    for share in SHRINKAGE:
        w, b = second.classifier(share)
        found[f"discriminant analysis of the memory's h, shrinkage {share:g}"] = accuracy(
            h @ w.numpy().T + b.numpy(), truth
        )
    if "anchor.means" in state.extras:
        found |= anchored(state, settings, features, size, truth)
    state.encoder.train()
    return found


def anchored(
    state: LearnerState, settings: Settings, features: np.ndarray, size: int, truth: np.ndarray
) -> dict[str, float]:
    """The frozen features' classifier alone and beside the prototypes."""
    assert state.prototypes is not None
    scale = settings.method.similarity_scale
    logits = torch.from_numpy(features[:, :size]) @ state.prototypes.T * scale
    near = torch.log_softmax(logits, dim=-1).numpy()
    names = ("means", "counts", "scatter")
    second = SecondOrder(*(state.extras[f"anchor.{name}"] for name in names))
    found = {}
    for share in SHRINKAGE:
        w, b = second.classifier(share)
        below = features[:, size:] @ w.numpy().T + b.numpy()
        found[f"frozen features alone, shrinkage {share:g}"] = accuracy(below, truth)
        for weight in WEIGHTS:
            found[f"with frozen features, shrinkage {share:g}, w {weight:g}"] = accuracy(
                near + weight * below, truth
            )
    return found


def one_run(
    variant: Variant, settings: Settings, tasks: Sequence[tuple[Rows, Rows]]
) -> dict[str, Any]:
    """Learn the tasks; accuracies by rule after some of them."""
    state = LearnerState.fresh(settings)
    seen: list[RelationExample] = []
    scored: dict[str, dict[str, float]] = {}
    seconds = 0.0
    for number, (train, held_out) in enumerate(tasks[: variant.tasks], start=1):
        started = time.perf_counter()
        augmented = augment_task(train, settings, number)
        lineage = {"batch": str(number), "batch_name": "task"}
        with variant.around(state, settings):
            start_task(state, train, augmented, settings, lineage)
            remember_task(state, train, settings)
            consolidate_task(state, variant.replayed(train), settings)
        seconds += time.perf_counter() - started
        seen += held_out
        if number in SCORED_AFTER:
            scored[str(number)] = rules(state, settings, seen)
    return {"scored": scored, "seconds": round(seconds, 1)}


Results = dict[tuple[str, int], dict[str, Any]]


def report(results: Results) -> str:
    """Differences to ``cf-cre`` under its own rule, one table a change of training or of rule."""
    lines: list[str] = []
    orders = sorted({order for _, order in results})
    for after in map(str, SCORED_AFTER):
        base = {
            o: results[BASE, o]["scored"][after]["as is"] for o in orders if (BASE, o) in results
        }
        lines += [f"## After task {after}", "", "| changed | orders | accuracy | difference |"]
        lines[-1] += " 95 % interval | by order |"
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        for name in VARIANTS:
            own = {o: results[name, o]["scored"].get(after) for o in orders if (name, o) in results}
            own = {o: scored for o, scored in own.items() if scored and o in base}
            for rule in next(iter(own.values()), {}):
                label = name if rule == "as is" else f"{name}: {rule}"
                lines.append(_line(label, {o: s[rule] for o, s in own.items()}, base))
        lines.append("")
    lines += [
        "## Seconds of learning a task, median",
        "",
        "| variant | seconds |",
        "| --- | ---: |",
    ]
    for name, variant in VARIANTS.items():
        own_seconds = [r["seconds"] / variant.tasks for (n, _), r in results.items() if n == name]
        if own_seconds:
            lines.append(f"| {name} | {np.median(own_seconds):.1f} |")
    return "\n".join(lines) + "\n"


def _line(label: str, own: dict[int, float], base: dict[int, float]) -> str:
    differences = [100 * (own[o] - base[o]) for o in own]
    pair = paired_interval(differences)
    interval = "one order" if pair.low is None else f"{pair.low:+.2f} to {pair.high:+.2f}"
    mean = 100 * float(np.mean(list(own.values())))
    by_order = " ".join(f"{d:+.2f}" for d in differences)
    return f"| {label} | {len(own)} | {mean:.2f} | {pair.mean:+.2f} | {interval} | {by_order} |"


def main() -> None:
    """Run what is not finished, printing one line a run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--orders", default="0,1,2")
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--eval", default="20:40")
    parser.add_argument("--only", help="names of variants, separated by semicolons")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    names = [n.strip() for n in args.only.split(";")] if args.only else list(VARIANTS)
    for name in names:
        if name not in VARIANTS:
            parser.error(f"no variant {name!r}; there are {'; '.join(VARIANTS)}")
    low, high = map(int, args.eval.split(":"))
    train = load_rows(args.data / "train.json.gz", 0, args.rows)
    held_out = load_rows(args.data / "val.json.gz", low, high)
    store = RunStore(args.out)
    results: Results = {}
    orders = [int(order) for order in args.orders.split(",")]

    def settings_of(name: str) -> Settings:
        changed = [f"method.name={BASE}", *args.assignments, *VARIANTS[name].assignments]
        return load_settings(home="/nonexistent", assignments=changed, environ={})

    def decides(name: str, order: int) -> dict[str, Any]:
        settings = settings_of(name)
        return {
            "variant": name,
            "order": order,
            "rows": args.rows,
            "eval": args.eval,
            "settings": settings.portable(),
            "precision": settings.compute.precision,
        }

    def work(name: str, order: int) -> dict[str, Any]:
        tasks = [
            ([e for r in relations for e in train[r]], [e for r in relations for e in held_out[r]])
            for relations in task_order(args.data, order)
        ]
        return one_run(VARIANTS[name], settings_of(name), tasks)

    print(describe(settings_of(BASE).seed), flush=True)
    for name in names:
        for order in orders:
            label = f"{name} order={order}"
            result, before = store.run(label, decides(name, order), partial(work, name, order))
            after, scored = list(result["scored"].items())[-1]
            took = "finished before" if before else f"{result['seconds']:.0f} s"
            print(
                f"{name}, order {order}: T{after} {100 * scored['as is']:.2f}  {took}", flush=True
            )
            # Two processes may share the folder, each with names of its own.
            for other in VARIANTS:
                for o in orders:
                    found = store.finished(f"{other} order={o}", decides(other, o))
                    if found is not None:
                        results[other, o] = found
            write_bytes(args.out / "changes.md", report(results).encode())


if __name__ == "__main__":
    main()
