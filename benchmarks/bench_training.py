"""Training steps and predictions a second beside a plain padded loop of the same model, in one run.

    python benchmarks/bench_training.py [--data FEWREL_DIR] [--steps 12] [--rounds 3]

The plain loop is what a script would do: batches in random order padded to their longest sentence,
``nn.Dropout``, float32, the whole embedding table in the optimiser, one example at a time at
prediction. Both run the same network on 32-row batches of the same rows; rounds alternate so that
noise of the machine falls on both, and the ratio of medians is printed.

Without --data the demonstration corpus is used.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from fewrel import load_rows, task_order
from machine import describe
from torch import nn

from cfcre.config import load_settings
from cfcre.data.batching import pad_batch, training_batches
from cfcre.methods.base import Session
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.methods.task import augment_task
from cfcre.methods.training import make_optimizer
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.dropout import ByteDropout
from cfcre.modeling.losses import new_relation_loss


def rows_of(data: Path | None) -> list:
    """Rows of one task."""
    if data:
        train = load_rows(data / "train.json.gz", 0, 60)
        return [e for r in task_order(data, 0)[0] for e in train[r]]
    from cfcre.data.demo_corpus import generate

    return list(generate(2021)[0].examples)


def plain_dropout(module: nn.Module) -> None:
    """Put ``nn.Dropout`` back."""
    for name, child in module.named_children():
        if isinstance(child, ByteDropout):
            setattr(module, name, nn.Dropout(child.p))
        else:
            plain_dropout(child)


def step(encoder, optimizer, batch, labels, anchors, scale, mixed) -> None:
    """Forward, loss, backward, update."""
    with mixed():
        h = encoder(*(torch.from_numpy(x) for x in (batch.ids, batch.mask, batch.head, batch.tail)))
    loss = new_relation_loss(h, anchors, labels, scale=scale)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(encoder.parameters(), 10.0)
    optimizer.step()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    settings = load_settings(home="/nonexistent", environ={})
    print(describe(settings.seed))
    rows = rows_of(args.data)
    rows = rows + augment_task(rows, settings, 1)
    names = sorted({e.relation for e in rows})
    labels = torch.tensor([names.index(e.relation) for e in rows])
    session = Session(settings, 1, 1)
    ours, plain = LearnerState.fresh(settings), LearnerState.fresh(settings)
    plain_dropout(plain.encoder)
    encoded = session.encode(ours, rows)
    anchors = torch.randn(len(names), ours.encoder.size, generator=torch.Generator().manual_seed(0))
    plain_optimizer = torch.optim.AdamW(plain.encoder.parameters(), lr=1e-4)
    from contextlib import nullcontext

    scale = settings.method.similarity_scale
    times: dict[str, list[float]] = {"cfcre": [], "plain": []}
    with compact_vocabulary(ours.encoder, encoded) as mapped:
        optimizer = make_optimizer(ours.encoder, [], settings.method)
        for state in (ours, plain):
            state.encoder.train()
        for round_number in range(args.rounds + 1):
            generator = np.random.default_rng(round_number)
            bucketed = training_batches(mapped.lengths, 32, generator)[: args.steps]
            order = generator.permutation(len(rows))
            shuffled = [order[32 * i : 32 * i + 32] for i in range(args.steps)]
            started = time.perf_counter()
            for index in bucketed:
                step(
                    ours.encoder,
                    optimizer,
                    pad_batch(mapped, index),
                    labels[torch.from_numpy(index)],
                    anchors,
                    scale,
                    session.compute.mixed,
                )
            middle = time.perf_counter()
            for index in shuffled:
                step(
                    plain.encoder,
                    plain_optimizer,
                    pad_batch(encoded, index),
                    labels[torch.from_numpy(index)],
                    anchors,
                    scale,
                    nullcontext,
                )
            ended = time.perf_counter()
            if round_number:  # the first round warms both up
                times["cfcre"].append(len(bucketed) / (middle - started))
                times["plain"].append(len(shuffled) / (ended - middle))
    fast, slow = (statistics.median(times[k]) for k in ("cfcre", "plain"))
    print(f"training steps/s   cfcre {fast:6.2f}   plain {slow:6.2f}   ratio {fast / slow:.2f}")
    sample = rows[:300]
    tokenised = session.encode(ours, sample)
    started = time.perf_counter()
    extract(ours.encoder, tokenised, session.compute, settings.compute.inference_token_budget)
    middle = time.perf_counter()
    ours.encoder.eval()
    with torch.inference_mode():
        for i in range(0, 100):
            batch = pad_batch(tokenised, np.array([i]))
            ours.encoder(
                *(torch.from_numpy(x) for x in (batch.ids, batch.mask, batch.head, batch.tail))
            )
    ended = time.perf_counter()
    fast, slow = 300 / (middle - started), 100 / (ended - middle)
    print(f"predictions/s      cfcre {fast:6.1f}   plain {slow:6.1f}   ratio {fast / slow:.2f}")


main()
