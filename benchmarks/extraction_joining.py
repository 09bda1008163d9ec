"""Who should decide a relation that both models know? Every way beside the others.

    python benchmarks/extraction_joining.py --spans MODEL --relations STATE --data DEV
        [--penalties 0,0.1,0.2,0.4] [--set key=value ...]

Entities are always the span model's. The relation model's threshold is chosen on one half of the
documents and used on the other, and the other way round, so that no document is scored with a
threshold that it helped to choose. Figures are F1 in percent, micro, over all documents.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from machine import describe

from cfcre.config import load_settings
from cfcre.extraction.calibration import calibrate
from cfcre.extraction.extractor import Extractor
from cfcre.extraction.joining import decide, pair_rows, pair_scores, pairs_of
from cfcre.extraction.registered import load_folders
from cfcre.extraction.results import Extraction
from cfcre.spans.documents import Document
from cfcre.spans.reading import read_documents

Said = set[tuple[int, tuple[int, int], tuple[int, int], str]]


class Remembering:
    """A relation model that reads each row once."""

    def __init__(self, model) -> None:
        self._model = model
        self.relations = model.relations
        self._known: dict[tuple, np.ndarray] = {}

    def fits(self, rows):
        """As the model says."""
        return self._model.fits(rows)

    def similarities(self, rows):
        """Cosines, those of known rows from memory."""
        keys = [(row.text, row.head, row.tail) for row in rows]
        new = {k: row for k, row in zip(keys, rows, strict=True) if k not in self._known}
        cosines = self._model.similarities(list(new.values()))
        self._known.update(zip(new, cosines, strict=True))
        made = [self._known[key] for key in keys]
        return np.array(made, dtype=np.float32).reshape(len(rows), len(self.relations))


def f1(said: Said, gold: Said) -> str:
    """F1, precision and recall."""
    right = len(said & gold)
    precision, recall = right / max(len(said), 1), right / max(len(gold), 1)
    score = 2 * right / max(len(said) + len(gold), 1)
    return f"{100 * score:6.2f}  ({100 * precision:.2f} / {100 * recall:.2f})"


def gold_of(documents: Sequence[Document], names: Iterable[str]) -> Said:
    """Labelled relations."""
    known = set(names)
    return {
        (number, d.characters(*d.entities[h][:2]), d.characters(*d.entities[t][:2]), name)
        for number, d in enumerate(documents)
        for h, t, name in d.relations
        if name in known
    }


def said_by(found: Sequence[Extraction]) -> Said:
    """Extracted relations."""
    return {
        (
            number,
            (e.entities[r.head].start, e.entities[r.head].end),
            (e.entities[r.tail].start, e.entities[r.tail].end),
            r.type,
        )
        for number, e in enumerate(found)
        for r in e.relations
    }


def relation_model_says(
    extractor: Extractor, documents: Sequence[Document], found: Sequence[Extraction]
) -> dict[tuple, float]:
    """Everything that the relation model says about pairs of extracted entities, with scores."""
    rows, keys, types = [], [], []
    for number, (document, extraction) in enumerate(zip(documents, found, strict=True)):
        starts = {a: i for i, (a, _) in enumerate(document.offsets)}
        ends = {b: i for i, (_, b) in enumerate(document.offsets, start=1)}
        spans = [(starts[e.start], ends[e.end]) for e in extraction.entities]
        whole = [(0, len(document.words))]
        pairs = pairs_of(spans, whole, extractor.settings.reach)
        rows += pair_rows(document.text, document.offsets, spans, pairs)
        entities = extraction.entities
        for p in pairs:
            both = entities[p.first], entities[p.second]
            keys.append((number, *((e.start, e.end) for e in both)))
            types.append((both[0].type, both[1].type))
    model = extractor.relations
    cosines, scores, read = pair_scores(model, rows)
    decisions = decide(
        cosines,
        [types[i] for i in read],
        model.relations,
        triples=extractor.spans.triples,
        penalty=extractor.settings.unseen_penalty,
        scores=scores,
        symmetric=extractor.symmetric,
    )
    said = {}
    for pair, reverse, column, score in decisions.rows():
        number, first, second = keys[read[pair]]
        head, tail = (second, first) if reverse else (first, second)
        said[number, head, tail, model.relations[column]] = score
    return said


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=Path, required=True)
    parser.add_argument("--relations", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--penalties", default="0,0.1,0.2,0.4")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    args = parser.parse_args()
    settings = load_settings(home="/nonexistent", assignments=args.assignments, environ={})
    print(describe(settings.seed))
    documents = read_documents(args.data, None).documents
    base = load_folders(args.spans, args.relations, None, settings.extraction, settings.compute)
    base.relations = Remembering(base.relations)
    shared = [name for name in base.relations.relations if name in base.spans.types.relations]
    gold = gold_of(documents, shared)
    print(f"{len(documents)} documents, {len(gold)} relations of {', '.join(shared)}")
    print("F1 (precision / recall) of relations, relaxed", flush=True)
    for penalty in map(float, args.penalties.split(",")):
        chosen = settings.extraction.model_copy(update={"unseen_penalty": penalty})
        print(f"penalty {penalty:g}")
        for overlap in ("allow", "best"):
            found = Extractor(base.spans, settings=chosen)(documents, overlap=overlap)
            print(f"  span model, overlap {overlap:18} {f1(said_by(found), gold)}", flush=True)
        joined = Extractor(base.spans, base.relations, settings=chosen, symmetric=base.symmetric)
        scores = relation_model_says(joined, documents, found)
        thresholds = {}
        for half in (0, 1):
            part = calibrate(
                base.spans,
                base.relations,
                documents[1 - half :: 2],
                settings=chosen,
                symmetric=base.symmetric,
            )
            thresholds[half] = part.threshold
            print(
                f"  threshold {part.threshold:.3f} on labelled entities of half {1 - half}: "
                f"precision {part.precision or 0:.3f}, recall {part.recall or 0:.3f}"
            )
        span_says = {s for s in said_by(found) if s[3] in shared}
        model_says = {s for s, v in scores.items() if v >= thresholds[s[0] % 2] and s[3] in shared}
        named = {
            (number, head, tail, name)
            for (number, head, tail, name) in scores
            if name in shared and any(s[:3] == (number, head, tail) for s in span_says)
        }
        for what, said in {
            "relation model": model_says,
            "either": span_says | model_says,
            "both": span_says & model_says,
            "found by span model, named by the other": named,
        }.items():
            print(f"  {what:39} {f1(said, gold)}", flush=True)


if __name__ == "__main__":
    main()
