"""The benchmark's tables: accuracy by task, ablations, paired comparison, forgetting, speed.

Accuracies are percentages. All tables but that of speed are the same for the same results, wherever
and how often they were computed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cfcre.benchmarking.figures_of_runs import (
    accuracies,
    by_label,
    forgetting,
    labels_of,
    mean_and_deviation,
    similar,
)
from cfcre.benchmarking.scoring import macro_accuracy, micro_accuracy
from cfcre.benchmarking.statistics import paired_interval
from cfcre.benchmarking.study import RunResult

__all__ = ["accuracy_table", "paired_table", "results_csv", "summary_table"]

Results = Sequence[RunResult]

_CLOCKS = ("learning", "learning_processor", "scoring")


def accuracy_table(results: Results) -> str:
    """Table 1: a row a method, accuracy after each task, mean ± deviation over the orders."""
    tasks = max((len(r.records) for r in results), default=0)
    lines = [_row(["method", "orders", *(f"T{t}" for t in range(1, tasks + 1))])]
    lines.append(_row(["---", "---:", *["---:"] * tasks]))
    for label in labels_of(results):
        runs = by_label(results, label)
        cells = [f"`{label}`", str(len(runs))]
        for t in range(tasks):
            values = [100 * a[t] for a in map(accuracies, runs) if t < len(a)]
            cells.append(mean_and_deviation(values))
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def summary_table(results: Results, default: str) -> str:
    """After the last task: accuracy, its mean over tasks, forgetting, similar relations."""
    head = ["method", "accuracy", "mean over tasks", "forgetting"]
    head += ["similar, own prototypes", "similar, the default's"]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    judges = {r.run.order: r for r in by_label(results, default)}
    for label in labels_of(results):
        runs = by_label(results, label)
        own = [similar(r, r) for r in runs]
        common = [similar(r, judges[r.run.order]) for r in runs if r.run.order in judges]
        lines.append(
            _row(
                [
                    f"`{label}`",
                    _over(runs, lambda r: micro_accuracy(r.records[-1]["scores"])),
                    _over(runs, lambda r: macro_accuracy(r.records[-1]["scores"])),
                    _over(runs, forgetting),
                    _similar(own),
                    _similar(common),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def paired_table(results: Results, default: str, *, against_default: bool = False) -> str:
    """The default against each other method over the orders that both have finished.

    Args:
        results: Runs.
        default: Label of the default.
        against_default: The other method minus the default, in place of the default minus it.
    """
    sign = -1 if against_default else 1
    lines = [
        _row(
            ["row" if against_default else "against", "orders", "difference", "95 % interval", "p"]
        ),
        _row(["---", *["---:"] * 4]),
    ]
    ours = {r.run.order: accuracies(r)[-1] for r in by_label(results, default)}
    for label in labels_of(results):
        if label == default:
            continue
        theirs = {r.run.order: accuracies(r)[-1] for r in by_label(results, label)}
        orders = sorted(set(ours) & set(theirs))
        pair = paired_interval([sign * 100 * (ours[o] - theirs[o]) for o in orders])
        if pair.mean is None:
            cells = ["0", "not computed", "not computed", "not computed"]
        elif pair.low is None or pair.high is None:
            cells = ["1", f"{pair.mean:+.2f}", "not computed (one order)", "not computed"]
        else:
            p = "not computed (no spread)" if pair.p is None else f"{pair.p:.4f}"
            cells = [
                str(pair.count),
                f"{pair.mean:+.2f}",
                f"{pair.low:+.2f} to {pair.high:+.2f}",
                p,
            ]
        lines.append(_row([f"`{label}`", *cells]))
    return "\n".join(lines) + "\n"


def results_csv(results: Results) -> str:
    """One line a run and task."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        "method group order task relations_seen rows right micro_accuracy macro_accuracy "
        "forgetting similar_relations similar_accuracy train_rows memory_rows steps "
        "learning_seconds learning_processor_seconds scoring_seconds training_flops "
        "inference_flops scoring_flops peak_bytes other_code key".split()
    )
    for result in results:
        for number, record in enumerate(result.records, start=1):
            scores = record["scores"]
            near, count = similar(result, result, number)
            writer.writerow(
                [result.run.variant.label, result.run.variant.group, result.run.order, number]
                + [len(scores["relations"]), sum(scores["rows"]), sum(scores["right"])]
                + [f"{micro_accuracy(scores):.6f}", f"{macro_accuracy(scores):.6f}"]
                + [f"{forgetting(result, number):.6f}", count]
                + ["" if near is None else f"{near:.6f}", record["train_rows"]]
                + [record["memory_rows"], record["steps"]]
                + [_seconds(record, name) for name in _CLOCKS]
                + [record["training_flops"], record["inference_flops"], record["scoring_flops"]]
                + [record["peak_bytes"], int(result.other_code), result.key]
            )
    return stream.getvalue()


def _seconds(record: Mapping[str, Any], name: str) -> str:
    """One clock of a record; empty in results of a version that did not have it."""
    value = record["seconds"].get(name)
    return "" if value is None else f"{value:.3f}"


def _over(runs: Results, figure: Callable[[RunResult], float]) -> str:
    return mean_and_deviation([100 * figure(r) for r in runs])


def _similar(pairs: Sequence[tuple[float | None, int]]) -> str:
    values = [100 * accuracy for accuracy, _ in pairs if accuracy is not None]
    counts = ", ".join(str(count) for _, count in pairs)
    return f"{mean_and_deviation(values)} ({counts} relations)" if values else "none"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
