"""What the encoder reaches with all relations at once: the ceiling that a stream is held against.

    python benchmarks/joint_ceiling.py --data FEWREL [--order 0] [--rows 30] [--eval 20:40] [--aca]
        [--epochs 2,2,4,4] [--set key=value]...

One table row before any training, and one after each part of the epochs; each part has an optimiser
of its own. ``nearest prototype`` is eq. 12 and 13 with means of all training rows, ``second`` the
discriminant analysis of the features of layer ``cf_cre_plus.frozen_share``, ``both`` the rule of
``cf-cre-plus``. The order decides only what ACA joins, task by task.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from fewrel import load_rows, task_order
from machine import describe
from torch.nn import functional

from cfcre.config import load_settings
from cfcre.data.schema import RelationExample
from cfcre.methods.base import Session
from cfcre.methods.features import extract
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.methods.task import augment_task
from cfcre.modeling.prototypes import class_means, prediction_prototypes
from cfcre.modeling.second_order import SecondOrder


def main() -> None:
    """Train on everything and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--order", type=int, default=0)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--eval", default="20:40")
    parser.add_argument("--aca", action="store_true")
    parser.add_argument("--epochs", default="2,2,4,4")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    changed = ["method.name=cf-cre", *args.assignments]
    settings = load_settings(home="/nonexistent", assignments=changed, environ={})
    low, high = map(int, args.eval.split(":"))
    train = load_rows(args.data / "train.json.gz", 0, args.rows)
    held_out = load_rows(args.data / "val.json.gz", low, high)
    tasks = task_order(args.data, args.order)
    state = LearnerState.fresh(settings)
    state.catalogue = [relation for task in tasks for relation in task]
    rows = [e for r in state.catalogue for e in train[r]]
    test = [e for r in state.catalogue for e in held_out[r]]
    auxiliary: list[RelationExample] = []
    if args.aca:
        for number, task in enumerate(tasks, start=1):
            auxiliary += augment_task([e for r in task for e in train[r]], settings, number)
    print(describe(settings.seed))
    print(
        f"{len(rows)} training rows, {len(auxiliary)} auxiliary, {len(test)} held out", flush=True
    )
    print("| epochs | nearest prototype | second | both | training rows right | seconds |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    session = Session(settings, 1, 1)
    done, seconds = 0, 0.0
    print(_row(state, rows, test, session, done, seconds), flush=True)
    for part, epochs in enumerate(map(int, args.epochs.split(",")), start=1):
        session = Session(settings, part, 1)
        started = time.perf_counter()
        learn_new_relations(state, rows, auxiliary, session, epochs=epochs)
        seconds += time.perf_counter() - started
        done += epochs
        print(_row(state, rows, test, session, done, seconds), flush=True)


def _row(
    state: LearnerState,
    rows: list[RelationExample],
    test: list[RelationExample],
    session: Session,
    epochs: int,
    seconds: float,
) -> str:
    method, plus = session.settings.method, session.settings.cf_cre_plus
    layer, size = round(plus.frozen_share * len(state.encoder.layers)), state.encoder.size
    budget = session.settings.compute.inference_token_budget
    state.encoder.eval()
    known, unknown = (
        torch.from_numpy(
            extract(
                state.encoder, session.encode(state, part), session.compute, budget, anchor=layer
            )
        )
        for part in (rows, test)
    )
    state.encoder.train()
    labels, truth = state.labels(rows), state.labels(test)
    means = class_means(known[:, :size], labels, len(state.catalogue))
    embeddings = state.relation_embeddings if epochs else means
    prototypes = prediction_prototypes(means, embeddings, method.embedding_weight)

    def cosines(features: torch.Tensor) -> torch.Tensor:
        return functional.normalize(features[:, :size], dim=1) @ prototypes.T

    second = SecondOrder.empty(known.shape[1] - size)
    weight, bias = second.add(known[:, size:], labels, len(state.catalogue)).classifier(
        plus.shrinkage
    )
    below = unknown[:, size:] @ weight.T + bias
    near = torch.log_softmax(method.similarity_scale * cosines(unknown), dim=1)

    def right(scores: torch.Tensor, of: torch.Tensor) -> str:
        return f"{100 * (scores.argmax(1) == of).float().mean().item():.2f}"

    cells = [
        str(epochs),
        right(near, truth),
        right(below, truth),
        right(near + plus.anchor_weight * below, truth),
        right(cosines(known), labels),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
