"""How long learning takes, and which share of the machine's arithmetic it uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfcre.benchmarking.figures_of_runs import by_label, labels_of
from cfcre.benchmarking.study import RunResult

__all__ = ["share_of_peak", "speed_table"]


def share_of_peak(result: RunResult) -> float:
    """Operations a second while learning / operations a second of a large matrix product.

    Both in the precision of training, on the same machine, in the same process. Operations are
    those of :func:`~cfcre.benchmarking.work.forward_flops`; the seconds hold everything that
    learning does, also what multiplies no matrices.
    """
    flops = sum(r["training_flops"] + r["inference_flops"] for r in result.records)
    seconds = sum(r["seconds"]["learning"] for r in result.records)
    peak = result.machine["matmul_peak_flops"][result.machine["training_precision"]]
    return float(flops / seconds / peak)


def speed_table(results: Sequence[RunResult]) -> str:
    """A row a method: seconds, steps a second, share of the peak, memory.

    Seconds of two machines have no mean that says anything: where runs come from several, each has
    rows of its own, machine by machine.
    """
    head = ["method", "runs", "learning, s a task", "processor, s a task", "scoring, s a task"]
    head += ["one run, min", "steps a run", "steps/s", "GFLOP/s", "share of peak"]
    head += ["peak memory, GiB"]
    # A run that was planned under two labels was run once.
    once = list({r.key: r for r in reversed(results)}.values())[::-1]
    machines = list(dict.fromkeys(_machine(r) for r in once))
    if len(machines) > 1:
        head.insert(0, "machine")
    lines = [_row(head), _row(["---:" if h not in ("machine", "method") else "---" for h in head])]
    for machine in machines:
        there = [r for r in once if _machine(r) == machine]
        for label in labels_of(there):
            cells = _cells(label, by_label(there, label))
            lines.append(_row([machine, *cells] if len(machines) > 1 else cells))
    return "\n".join(lines) + "\n"


def _machine(result: RunResult) -> str:
    """What seconds depend on: the GPU, or the processor and how many threads there were."""
    facts = result.machine
    if "gpu" in facts:
        return str(facts["gpu"])
    threads = facts["threads"]
    return f"{facts['processor']}, {threads} thread{'' if threads == 1 else 's'}"


def _cells(label: str, runs: Sequence[RunResult]) -> list[str]:
    records = [record for run in runs for record in run.records]
    learning = sum(r["seconds"]["learning"] for r in records)
    # Results of a version that did not measure it have none.
    processor = [r["seconds"].get("learning_processor", float("nan")) for r in records]
    scoring = sum(r["seconds"]["scoring"] for r in records)
    steps = sum(r["steps"] for r in records)
    flops = sum(r["training_flops"] + r["inference_flops"] for r in records)
    return [
        f"`{label}`",
        str(len(runs)),
        f"{learning / len(records):.1f}",
        f"{sum(processor) / len(records):.1f}".replace("nan", "–"),
        f"{scoring / len(records):.1f}",
        f"{(learning + scoring) / len(runs) / 60:.1f}",
        f"{steps / len(runs):.0f}",
        f"{steps / learning:.2f}",
        f"{flops / learning / 1e9:.1f}",
        f"{100 * float(np.mean([share_of_peak(r) for r in runs])):.1f} %",
        f"{max(r['peak_bytes'] for r in records) / 2**30:.2f}",
    ]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
