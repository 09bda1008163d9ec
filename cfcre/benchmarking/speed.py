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
    """A row a method: seconds, steps a second, share of the peak, memory."""
    head = [
        "method",
        "runs",
        "learning, s a task",
        "processor, s a task",
        "scoring, s a task",
        "one run, min",
    ]
    head += ["steps a run", "steps/s", "GFLOP/s", "share of peak", "peak memory, GiB"]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    # A run that was planned under two labels was run once.
    once = list({r.key: r for r in reversed(results)}.values())[::-1]
    for label in labels_of(once):
        runs = by_label(once, label)
        records = [record for run in runs for record in run.records]
        learning = sum(r["seconds"]["learning"] for r in records)
        # Results of a version that did not measure it have none.
        processor = [r["seconds"].get("learning_processor", float("nan")) for r in records]
        scoring = sum(r["seconds"]["scoring"] for r in records)
        steps = sum(r["steps"] for r in records)
        flops = sum(r["training_flops"] + r["inference_flops"] for r in records)
        lines.append(
            _row(
                [
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
            )
        )
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
