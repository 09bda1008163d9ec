"""The span model beside its literal form: sentences a second and peak memory, in one run.

    python benchmarks/bench_spans.py [--data FILE --types FILE] [--steps 10] [--count 160]
        [--rounds 3] [--threads N] [--set key=value ...]

The literal side (``spans_literal.py``) is what a script would do with the same network: documents
in random order padded to their longest, a masked copy of the sentence for every span,
concatenations, Python loops for negatives, ``nn.Dropout``, float32, the whole embedding table in
the optimiser. Both sides train on batches of 8 documents; the literal one predicts eight at a time,
the library by token budget. Rounds alternate, so that noise of the machine falls on both, and
medians are compared. Peak memory is that of a process which does nothing else.

An untrained network takes most spans for entities, and all their pairs for candidates. Prediction
is measured with a model of 100 updates, whose number of entities is printed.

Without --data the demonstration corpus is used.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import describe
from spans_literal import LiteralModel, literal_samples, word_pieces
from torch import nn

from cfcre.config import load_settings
from cfcre.data.batching import training_batches
from cfcre.data.encoder_files import resolve_encoder
from cfcre.data.tokenizer_files import load_backend
from cfcre.modeling.compute import Compute
from cfcre.modeling.dropout import ByteDropout
from cfcre.modeling.vocabulary import rows_in_use
from cfcre.spans.documents import Document, Entity, LabelTypes, Relation
from cfcre.spans.gold import gold_labels
from cfcre.spans.model import SpanModel
from cfcre.spans.reading import read_documents
from cfcre.spans.state import SpanState
from cfcre.spans.training import Updater

BATCH = 8
#: Of the model that predicts.
UPDATES = 100


def documents_of(data: Path | None, types: Path | None) -> tuple[list[Document], LabelTypes]:
    """Documents and their types."""
    if data:
        known = LabelTypes.read(types) if types else None
        found = read_documents(data, known).documents
        return found, known or LabelTypes.of(found)
    from cfcre.data.demo_corpus import generate

    found = []
    for row in (e for batch in generate(2021) for e in batch.examples):
        document = Document.from_text(row.text)
        starts = {s: i for i, (s, _) in enumerate(document.offsets)}
        ends = {e: i for i, (_, e) in enumerate(document.offsets, start=1)}
        entities = tuple(
            Entity(starts[span.start], ends[span.end], name)
            for name, span in (("Head", row.head), ("Tail", row.tail))
        )
        relations = (Relation(0, 1, row.relation),)
        found.append(replace(document, entities=entities, relations=relations))
    return found, LabelTypes.of(found)


def plain_dropout(module: nn.Module) -> None:
    """Put ``nn.Dropout`` back."""
    for name, child in module.named_children():
        if isinstance(child, ByteDropout):
            setattr(module, name, nn.Dropout(child.p))
        else:
            plain_dropout(child)


class Ours:
    """The library's training and prediction."""

    def __init__(self, documents, types, settings, weights: Path | None = None) -> None:
        self.documents, self.types, self.settings = documents, types, settings
        self.state = SpanState.load(weights) if weights else SpanState.fresh(types, settings)
        self.encoded = self.state.tokenizer.encode([d.words for d in documents])
        self.gold = gold_labels(documents, types, settings.spans.max_span_width)

    def train(self, steps: int, seed: int) -> float:
        """So many updates; returns their seconds."""
        network, encoded = self.state.network, self.encoded
        compute = Compute.from_settings(self.settings.compute)
        with rows_in_use(network, encoded.ids, encoded.pad_id) as used:
            compact = replace(encoded, ids=used.ids, pad_id=used.pad_id)
            update = Updater(network, compact, self.gold, self.types, self.settings, compute)
            network.train()
            generator = np.random.default_rng(seed)
            started = time.perf_counter()
            for rows in training_batches(compact.lengths, BATCH, generator)[:steps]:
                update(rows, generator)
            return time.perf_counter() - started

    def predict(self, count: int) -> None:
        """The first documents, in one call."""
        model = SpanModel(self.state, self.settings.compute)
        model.predict([d.words for d in self.documents[:count]])


class Literal:
    """The same by the book."""

    def __init__(self, documents, types, settings, weights: Path | None = None) -> None:
        self.documents, self.types, self.settings = documents, types, settings
        # Its threads are those of the other side.
        Compute.from_settings(settings.compute)
        state = SpanState.load(weights) if weights else SpanState.fresh(types, settings)
        plain_dropout(state.network.transformer)
        self.model = LiteralModel(state.network, settings.spans, settings.spans.dropout)
        self.backend = load_backend(resolve_encoder(settings.spans.encoder))
        # Some tokenizers are stored with padding to a fixed length.
        self.backend.no_padding()
        self.backend.no_truncation()
        self.pieces = [self._pieces(d) for d in documents]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-5)

    def _pieces(self, document):
        ids = (self.backend.token_to_id(t) for t in ("[CLS]", "[SEP]", "[UNK]"))
        return word_pieces(self.backend, document.words, *ids)

    def train(self, steps: int, seed: int) -> float:
        """So many updates; returns their seconds."""
        self.model.train()
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(self.documents))
        started = time.perf_counter()
        for step in range(steps):
            rows = order[BATCH * step : BATCH * step + BATCH]
            samples = literal_samples(
                [self.documents[i] for i in rows],
                [self.pieces[i] for i in rows],
                self.types,
                self.settings.spans,
                generator,
            )
            loss = sum(self.model.losses(samples, 0))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        return time.perf_counter() - started

    def predict(self, count: int) -> None:
        """The first documents, eight at a time."""
        self.model.eval()
        symmetric = [name in self.types.symmetric for name in self.types.relations]
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                part = self.documents[start : min(start + BATCH, count)]
                self.model.predict([self._pieces(d) for d in part], 0, symmetric)


def short_training(documents, types, settings, folder: Path) -> None:
    """Keep a model of some updates: it finds about as many entities as there are."""
    quick = settings.spans.model_copy(update={"learning_rate": 3e-4, "epochs": 1, "warmup": 0.0})
    ours = Ours(documents, types, settings.model_copy(update={"spans": quick}))
    ours.train(UPDATES, 0)
    ours.state.save(folder)


def settings_of(args: argparse.Namespace, precision: str):
    """Settings of one side."""
    given = [f"compute.threads={args.threads}", f"compute.precision={precision}"]
    return load_settings(home="/nonexistent", assignments=[*given, *args.assignments], environ={})


def memory(args: argparse.Namespace) -> None:
    """Do one thing in this process and print its peak memory in MiB."""
    documents, types = documents_of(args.data, args.types)
    settings = settings_of(args, "float32")
    side, _, task = args.only.partition("-")
    made = Ours if side == "cfcre" else Literal
    model = made(documents, types, settings, args.weights if task == "predict" else None)
    if task == "train":
        model.train(args.steps, 1)
    elif task == "predict":
        model.predict(min(args.count, len(documents)))
    print(_high_water_mark())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--types", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--count", type=int, default=160, help="documents predicted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    if args.only:
        memory(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder) / "model")


def measure(args: argparse.Namespace, weights: Path) -> None:
    """Measure and print."""
    plain, fast = settings_of(args, "float32"), settings_of(args, "auto")
    print(describe(plain.seed))
    documents, types = documents_of(args.data, args.types)
    count = min(args.count, len(documents))
    trainees = {
        "cfcre": Ours(documents, types, fast),
        "cfcre, float32": Ours(documents, types, plain),
        "literal": Literal(documents, types, plain),
    }
    short_training(documents, types, fast, weights)
    readers = {
        "cfcre": Ours(documents, types, plain, weights),
        "literal": Literal(documents, types, plain, weights),
    }
    found = SpanModel.load(weights, plain.compute).predict([d.words for d in documents[:count]])
    entities = sum(len(f.entities) for f in found)
    labelled = sum(len(d.entities) for d in documents[:count])
    print(
        f"{torch.get_num_threads()} threads, {len(documents)} documents; of {count} documents with "
        f"{labelled} entities {entities} are predicted",
        flush=True,
    )
    trained: dict[str, list[float]] = {name: [] for name in trainees}
    predicted: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(args.rounds + 1):
        # The first round is short and warms everything up.
        steps, texts = (args.steps, count) if number else (1, BATCH)
        for name, side in trainees.items():
            rate = steps * BATCH / side.train(steps, number)
            if number:
                trained[name].append(rate)
        for name, side in readers.items():
            started = time.perf_counter()
            side.predict(texts)
            if number:
                predicted[name].append(texts / (time.perf_counter() - started))
    for what, table in (("training", trained), ("prediction", predicted)):
        medians = {name: statistics.median(values) for name, values in table.items()}
        print(f"{what}, sentences/s", flush=True)
        for name, value in medians.items():
            print(f"  {name:15} {value:8.1f}   ratio {value / medians['literal']:.2f}")
    del trainees, readers
    print("peak memory of a process, MiB (float32)", flush=True)
    for side in ("cfcre", "literal"):
        load, train, predict = (
            _peak(f"{side}-{task}", weights) for task in ("load", "train", "predict")
        )
        print(
            f"  {side:15} loaded {load:6.0f}, training + {train - load:5.0f}, "
            f"prediction + {predict - load:5.0f}",
            flush=True,
        )


def _high_water_mark() -> float:
    """Peak memory of this process in MiB.

    Not ``ru_maxrss``: a process inherits that of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _peak(what: str, weights: Path) -> float:
    command = [sys.executable, __file__, *sys.argv[1:], "--only", what]
    command += ["--weights", str(weights)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
