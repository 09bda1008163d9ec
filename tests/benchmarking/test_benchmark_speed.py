"""Seconds and shares of the peak: what the table of speed says of runs from several machines."""

from __future__ import annotations

import pytest

from cfcre.benchmarking.plan import PlannedRun, Variant
from cfcre.benchmarking.speed import share_of_peak, speed_table
from cfcre.benchmarking.study import RunResult

QUICK = {"processor": "Quick", "threads": 1, "training_precision": "float32"}
SLOW = {**QUICK, "processor": "Slow"}
PEAK = {"matmul_peak_flops": {"float32": 100e9, "bfloat16": 1.0}}


def run(label: str, order: int, machine: dict, seconds: float) -> RunResult:
    """Two equal tasks: 300 GFLOP in ``seconds`` of learning, 30 steps, 6 s of scoring."""
    record = {
        "seconds": {"learning": seconds, "learning_processor": seconds / 2, "scoring": 6.0},
        "steps": 30,
        "training_flops": 200e9,
        "inference_flops": 100e9,
        "peak_bytes": (order + 1) * 2**30,
    }
    planned = PlannedRun(Variant(label, "method", label), order)
    key = f"{label} {order}"
    return RunResult(planned, key, [record] * 2, {}, {**machine, **PEAK}, "c", False, False)


def test_the_share_is_of_the_peak_in_the_precision_of_training():
    assert share_of_peak(run("a", 0, QUICK, 12.0)) == pytest.approx(600e9 / 24 / 100e9)


def test_runs_of_one_machine_are_one_row_a_method():
    table = speed_table(
        [run("a", 0, QUICK, 10.0), run("b", 0, QUICK, 30.0), run("a", 1, QUICK, 20.0)]
    )
    lines = table.splitlines()
    assert lines[0].startswith("| method | runs |")
    assert len(lines) == 4
    # (10 + 10 + 20 + 20) s in four tasks; 120 steps and 1200 GFLOP in 60 s; shares 0.3 and 0.15.
    assert lines[2] == ("| `a` | 2 | 15.0 | 7.5 | 6.0 | 0.7 | 60 | 2.00 | 20.0 | 22.5 % | 2.00 |")
    assert lines[3].startswith("| `b` | 1 | 30.0 |")


def test_seconds_of_two_machines_are_not_mixed():
    found = [run("a", 0, QUICK, 10.0), run("a", 1, SLOW, 50.0), run("b", 1, SLOW, 70.0)]
    lines = speed_table(found).splitlines()
    assert lines[0].startswith("| machine | method | runs |")
    assert lines[1].startswith("| --- | --- | ---: |")
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| Quick, 1 thread", "`a`", "1", "10.0"],
        ["| Slow, 1 thread", "`a`", "1", "50.0"],
        ["| Slow, 1 thread", "`b`", "1", "70.0"],
    ]


@pytest.mark.parametrize(
    ("facts", "name"),
    [({**QUICK, "threads": 4}, "Quick, 4 threads"), ({**QUICK, "gpu": "Card"}, "Card")],
)
def test_a_machine_is_its_card_or_its_processor_and_threads(facts, name):
    lines = speed_table([run("a", 0, QUICK, 10.0), run("a", 1, facts, 10.0)]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Quick, 1 thread", f"| {name}"]


def test_a_run_under_two_labels_is_counted_once():
    twice = [run("a", 0, QUICK, 10.0)] * 2
    assert speed_table(twice).splitlines()[2].startswith("| `a` | 1 | 10.0 |")
