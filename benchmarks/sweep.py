"""Ten FewRel tasks in memory for one or several settings; prints one line a setting.

    python benchmarks/sweep.py --data DIR [--order 0] [--tasks 10] [--rows 60] [--eval 20:60]
        [--label NAME] [--set key=value ...]

The evaluation rows are a slice of the validation file. The sweep in docs/ uses rows 20 to 60, which
the README's FewRel figures (rows 0 to 20) never see.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from fewrel import load_rows, task_order

from cfcre.config import load_settings
from cfcre.methods.predictor import Predictor
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task


def main() -> None:
    """Run one setting and append its result to a JSON Lines file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--order", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--eval", default="20:60")
    parser.add_argument("--last", action="store_true", help="score after the last task only")
    parser.add_argument("--label", default="default")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    settings = load_settings(home="/nonexistent", assignments=args.assignments)
    low, high = map(int, args.eval.split(":"))
    train = load_rows(args.data / "train.json.gz", 0, args.rows)
    held_out = load_rows(args.data / "val.json.gz", low, high)
    state = LearnerState.fresh(settings)
    tests: list[list] = []
    averages, final, seconds, scoring = [], [], [], []
    for k, relations in enumerate(task_order(args.data, args.order)[: args.tasks], start=1):
        started = time.perf_counter()
        rows = [e for r in relations for e in train[r]]
        learn_task(state, rows, settings, {"batch": str(k), "batch_name": f"task-{k}"})
        seconds.append(time.perf_counter() - started)
        tests.append([e for r in relations for e in held_out[r]])
        if args.last and k < args.tasks:
            continue
        started = time.perf_counter()
        predictor = Predictor(state, settings.compute)
        everything = [e for t in tests for e in t]
        right = np.array(
            [
                p == e.relation
                for p, e in zip(predictor.predict_best(everything), everything, strict=True)
            ]
        )
        state.encoder.train()
        scoring.append(time.perf_counter() - started)
        averages.append(round(100 * float(right.mean()), 2))
        final = [round(100 * float(p.mean()), 1) for p in np.split(right, len(tests))]
    result = {
        "label": args.label,
        "order": args.order,
        "average": averages,
        "last_row": final,
        "train_seconds": round(sum(seconds), 1),
        "score_seconds": round(sum(scoring), 1),
        "assignments": args.assignments,
    }
    line = json.dumps(result)
    print(line, file=sys.stdout, flush=True)
    if args.out:
        with args.out.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


main()
