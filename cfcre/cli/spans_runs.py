"""What ``cfcre spans train`` and ``evaluate`` do, and how they show it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.output import printable, table
from cfcre.data.files import write_json
from cfcre.errors import DataError, NotFoundError
from cfcre.spans.folds import find_folds, mean_scores
from cfcre.spans.model import SpanModel
from cfcre.spans.preparing import prepare
from cfcre.spans.reading import read_documents
from cfcre.spans.running import file_digest, headline, load_corpus, train_model
from cfcre.spans.scoring import score_labels
from cfcre.spans.state import check_replaceable, read_description

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.spans.reading import OnError, RefusedDocument
    from cfcre.spans.running import Corpus
    from cfcre.spans.training import Epoch, Progress

__all__ = [
    "epoch_line",
    "evaluate_folds",
    "evaluate_one",
    "progress_bar",
    "say_refused",
    "score_lines",
    "train_folds",
    "train_one",
]

_TASKS = {
    "entities": "entity",
    "relations": "relation",
    "relations_strict": "relation, strict",
}


def train_one(
    data: Path,
    dev: Path | None,
    types: Path | None,
    out: Path,
    settings: Settings,
    on_error: OnError,
) -> dict[str, Any]:
    """Train on one file and write the model; returns the last scores."""
    check_replaceable(out)
    corpus = load_corpus(data, dev, types, settings, on_error=on_error)
    _say_corpus(corpus, with_types=types is None)
    with progress_bar() as progress:
        state, facts = train_model(
            corpus, settings, progress=progress, report=lambda epoch: click.echo(epoch_line(epoch))
        )
    state.save(out)
    if facts.wide_entities:
        click.echo(
            f"{facts.wide_entities} entities of more than {settings.spans.max_span_width} words "
            f"(spans.max_span_width) and their {facts.wide_relations} relations were not learned"
        )
    kept = f"; refused documents are in {out / 'quarantine.jsonl'}" if state.refused else ""
    click.echo(f"model written to {out}{kept}")
    return facts.epochs[-1].scores


def train_folds(
    folder: Path, types: Path | None, out: Path, settings: Settings, on_error: OnError
) -> None:
    """Train a model for each fold that a folder holds, and show and write the mean."""
    folds, own_types = find_folds(folder)
    click.echo(f"folds {', '.join(str(fold.number) for fold in folds)} of {folder.name}")
    results: dict[str, Any] = {}
    for fold in folds:
        target = out / f"fold-{fold.number}"
        scores = _finished(target, fold.train, fold.test, settings)
        click.echo(f"\nfold {fold.number}" + (": finished before" if scores else ""))
        results[str(fold.number)] = scores or train_one(
            fold.train, fold.test, types or own_types, target, settings, on_error
        )
    mean = mean_scores(list(results.values()))
    write_json(out / "folds.json", {"folds": results, "mean": mean})
    click.echo("\n" + score_lines({"folds": results, "mean": mean}))


def evaluate_one(model: Path, data: Path, settings: Settings, on_error: OnError) -> dict[str, Any]:
    """Scores of a model on one file, with counts of documents."""
    loaded = SpanModel.load(model, settings.compute)
    reading = read_documents(data, loaded.types, settings.intake, on_error=on_error)
    prepared = prepare(
        reading,
        loaded.types,
        loaded.state.tokenizer,
        max_length=loaded.state.settings.max_length,
        max_width=loaded.state.settings.max_span_width,
        on_error=on_error,
    )
    say_refused(data.name, reading.refused)
    predicted = loaded.predict_encoded(prepared.encoded)
    scores = score_labels(prepared.gold, predicted, loaded.types)
    return {
        "data": data.name,
        "documents": reading.counts,
        "scores": {task: s.to_json() for task, s in scores.items()},
    }


def evaluate_folds(
    model: Path, folder: Path, settings: Settings, on_error: OnError
) -> dict[str, Any]:
    """Scores of each fold's own model on its test file, and their mean."""
    folds, _ = find_folds(folder)
    results, documents = {}, {}
    for fold in folds:
        own = model / f"fold-{fold.number}"
        if not own.is_dir():
            raise NotFoundError(
                f"{folder.name} holds fold {fold.number}, but {model.name} has no "
                f"{own.name}; train it with 'cfcre spans train --data {folder.name}'"
            )
        result = evaluate_one(own, fold.test, settings, on_error)
        results[str(fold.number)] = result["scores"]
        documents[str(fold.number)] = result["documents"]
    return {
        "folds": results,
        "documents": documents,
        "mean": mean_scores(list(results.values())),
    }


def score_lines(result: Mapping[str, Any]) -> str:
    """Figures in percent, as tables."""
    if "mean" in result:
        return _fold_lines(result)
    blocks = []
    for task, scores in result["scores"].items():
        rows = [
            [printable(name), *_percent(figures), figures["support"], figures["predicted"]]
            for name, figures in scores["per_type"].items()
        ]
        rows += [[name, *_percent(scores[name]), "-", "-"] for name in ("micro", "macro")]
        header = [_TASKS[task], "precision", "recall", "F1", "labelled", "predicted"]
        blocks.append(table(header, rows))
    counts = result["documents"]
    about = f"{counts['accepted']} of {counts['read']} documents of {printable(result['data'])}"
    return "\n\n".join([*blocks, about])


def _fold_lines(result: Mapping[str, Any]) -> str:
    header = ["F1", *(f"{n}, {a}" for n in _TASKS.values() for a in ("micro", "macro"))]
    rows = [
        [f"fold {number}"]
        + [f"{100 * s[t][a]['f1']:.2f}" for t in _TASKS for a in ("micro", "macro")]
        for number, s in result["folds"].items()
    ]
    figures = [result["mean"][t][a]["f1"] for t in _TASKS for a in ("micro", "macro")]
    rows.append(["mean", *(f"{100 * f['mean']:.2f}" for f in figures)])
    rows.append(["deviation", *(f"{100 * f['deviation']:.2f}" for f in figures)])
    return table(header, rows)


def epoch_line(epoch: Epoch) -> str:
    """One epoch for people."""
    parts = [
        f"epoch {epoch.number}: loss {epoch.entity_loss:.4f} + {epoch.relation_loss:.4f}",
        f"{epoch.seconds:.1f} s",
    ]
    if epoch.scores:
        figures = ", ".join(
            f"{_TASKS[task]} {100 * f1:.2f}" for task, f1 in headline(epoch.scores).items()
        )
        parts.append(f"F1 {figures}")
    return "  ".join(parts)


@contextmanager
def progress_bar(label: str = "") -> Iterator[Progress | None]:
    """A bar on a terminal; nothing elsewhere, where each epoch has its line."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}]"
    bar = tqdm(total=1, leave=False, file=sys.stderr, bar_format=layout, dynamic_ncols=True)

    def move(phase: str, done: int, total: int) -> None:
        if bar.desc != f"{label}{phase}":
            bar.reset(total=total)
            bar.set_description_str(f"{label}{phase}")
        bar.n = done
        bar.refresh()

    try:
        yield move
    finally:
        bar.close()


def say_refused(name: str, refused: list[RefusedDocument]) -> None:
    """List documents that were set aside, on the error stream."""
    if not refused:
        return
    reasons = Counter(r.reason for r in refused)
    total = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    click.echo(f"{printable(name)}: {len(refused)} documents are not used: {total}", err=True)
    for document in refused:
        named = f" (id {document.id})" if document.id else ""
        line = f"  {document.source}{named}: {document.reason}: {document.detail}"
        click.echo(printable(line), err=True)


def _say_corpus(corpus: Corpus, *, with_types: bool) -> None:
    for name, about in corpus.about.items():
        merged = about["merged_relations"]
        repeated = f", {merged} repeated relations counted once" if merged else ""
        click.echo(
            f"{name}: {about['accepted']} of {about['read']} documents of "
            f"{printable(about['file'])}{repeated}"
        )
    if with_types:
        names = (*corpus.types.entities, *corpus.types.relations)
        click.echo(f"types found in the data, none symmetric: {printable(', '.join(names))}")
    for reading, file in (
        (corpus.train_reading, corpus.about["train"]["file"]),
        (corpus.dev_reading, corpus.about.get("dev", {}).get("file", "")),
    ):
        if reading is not None:
            say_refused(file, reading.refused)


def _finished(target: Path, train: Path, test: Path, settings: Settings) -> dict[str, Any] | None:
    """Scores of a fold that was trained before on the same data with the same settings.

    Raises:
        DataError: The directory holds a model of other data or settings.
    """
    if not target.exists():
        return None
    description = read_description(target)
    lineage = description["lineage"]
    same = (
        description["settings"] == settings.spans.model_dump(mode="json")
        and lineage["seed"] == settings.seed
        and lineage["data"]["train"]["sha256"] == file_digest(train)
        and lineage["data"]["dev"]["sha256"] == file_digest(test)
    )
    if not same:
        raise DataError(
            f"{target} holds a model of other data or settings; choose another --out, or delete it"
        )
    scores: dict[str, Any] = lineage["training"]["epochs"][-1]["scores"]
    return scores


def _percent(figures: Mapping[str, float]) -> list[str]:
    return [f"{100 * figures[name]:.2f}" for name in ("precision", "recall", "f1")]
