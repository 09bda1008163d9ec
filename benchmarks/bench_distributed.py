"""Training steps a second by one and by several processes with the same total number of threads.

    python benchmarks/bench_distributed.py [--processes 2] [--threads N] [--steps 12] [--rounds 3]

Every process count trains the compact encoder on the same batches of 32 rows of the demonstration
corpus: one epoch to warm up, one that is timed. Rounds alternate so that noise of the machine falls
on all, and medians are printed. On one machine without GPUs several processes share the cores that
one process would use by threads: what is measured is what dividing a batch and exchanging gradients
costs or gains, not what a second machine would add.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from machine import describe

from cfcre.config import load_settings
from cfcre.data.demo_corpus import generate
from cfcre.methods.base import Session
from cfcre.methods.state import LearnerState
from cfcre.methods.training import make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.compute import seeded
from cfcre.modeling.losses import new_relation_loss
from cfcre.modeling.parallel import ALONE, process_group


def train(threads: int, steps: int) -> None:
    """One process: train and print steps and seconds, as JSON, if it is the first."""
    settings = load_settings(
        home="/nonexistent", overrides={"compute.threads": threads}, environ={}
    )
    several = "RANK" in os.environ
    with process_group(600, cuda=False) if several else nullcontext(ALONE) as group:
        rows = list(generate(settings.seed)[0].examples)[: 32 * steps]
        names = sorted({e.relation for e in rows})
        labels = torch.tensor([names.index(e.relation) for e in rows])
        state = LearnerState.fresh(settings)
        session = Session(settings, 1, 1)
        encoded = session.encode(state, rows)
        generator = torch.Generator().manual_seed(0)
        anchors = torch.randn(len(names), state.encoder.size, generator=generator)
        with seeded(0), compact_vocabulary(state.encoder, encoded) as mapped:
            optimizer = make_optimizer(state.encoder, [], settings.method)
            for epoch in range(2):
                group.wait()
                started = time.perf_counter()
                train_epoch(
                    phase="train_task",
                    encoder=state.encoder,
                    optimizer=optimizer,
                    encoded=mapped,
                    labels=labels,
                    loss=lambda h, y: {"loss": new_relation_loss(h, anchors, y, scale=20.0)},
                    group=group,
                    settings=settings.method,
                    compute=session.compute,
                    generator=np.random.default_rng(epoch),
                    log=session.log,
                    progress=session.progress,
                )
                seconds = time.perf_counter() - started
        if group.leads:
            done = -(-len(rows) // settings.method.batch_size)
            print(json.dumps({"steps": done, "seconds": seconds}), flush=True)


def measure(processes: int, threads: int, steps: int) -> float:
    """Steps a second of one run."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    command += [str(Path(__file__)), "--worker", "--threads", str(threads), "--steps", str(steps)]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    line = next(x for x in done.stdout.splitlines() if x.startswith("{"))
    result = json.loads(line)
    return result["steps"] / result["seconds"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="in all")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        train(args.threads, args.steps)
        return
    load = " ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{describe(2021)}; load {load}; {args.threads} threads in all")
    speeds: dict[int, list[float]] = {1: [], args.processes: []}
    for _ in range(args.rounds):
        for processes, found in speeds.items():
            threads = max(1, args.threads // processes)
            found.append(measure(processes, threads, args.steps))
    one = statistics.median(speeds[1])
    for processes, found in speeds.items():
        speed = statistics.median(found)
        each = max(1, args.threads // processes)
        every = " ".join(f"{x:.2f}" for x in found)
        print(
            f"{processes} x {each} threads   steps/s {speed:5.2f}   ratio {speed / one:.2f}   "
            f"rounds {every}"
        )


main()
