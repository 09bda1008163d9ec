"""When the relation model is to say "none": thresholds chosen on labelled documents.

The relation model names the nearest relation of any pair; it was never shown a pair without one.
Documents with all their entities have such pairs: every ordered pair of entities that no relation
was labelled for. On these documents the rule of :func:`cfcre.extraction.joining.decide` is run over
the labelled entities, and thresholds on its score are chosen:

- one for all relations, the one with the best F1 against the labelled relations. Everything that is
  said about an unlabelled pair counts as wrong, whichever relation it is;
- for each relation that no document has, the least score at least as large at which it is said of
  no more than a share of all pairs. What is not labelled there is taken not to hold.

Without any labelled relation that the relation model knows, the second rule stands alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cfcre.config import ExtractionSettings
from cfcre.data.files import read_json, write_json
from cfcre.errors import DataError
from cfcre.extraction.joining import (
    Decisions,
    PairScorer,
    decide,
    pair_rows,
    pair_scores,
    pairs_of,
)
from cfcre.extraction.reading import read_texts
from cfcre.extraction.thresholds import best_threshold, threshold_of_share
from cfcre.spans.documents import Document
from cfcre.spans.model import SpanModel
from cfcre.spans.triples import Triples

__all__ = [
    "CALIBRATION_FILE",
    "Calibration",
    "calibrate",
    "documents_digest",
]

CALIBRATION_FILE = "calibration.json"
"""Name of a calibration's file beside an extractor's description."""

#: Raised when a change makes old files unreadable.
FORMAT = 1


@dataclass(frozen=True)
class Calibration:
    """Thresholds of a relation model, and where they come from.

    Attributes:
        threshold: Least cosine, less the penalty, of relations without one of their own.
        relation_thresholds: Those of relations that no document has.
        triples: Types that relations were seen between when the thresholds were chosen.
        relations: What the relation model knew, in its order.
        penalty: ``extraction.unseen_penalty`` that the scores were taken with.
        data: SHA-256 of the documents.
        documents: Their number.
        pairs: Pairs of entities looked at; each has two directions.
        unread: Pairs that the relation model can not read.
        labelled: Relations in the documents that the relation model knows.
        right: Of these, said at the thresholds.
        wrong: Other relations said at the thresholds.
    """

    threshold: float
    relation_thresholds: Mapping[str, float] = field(default_factory=dict)
    triples: Triples = field(default_factory=Triples)
    relations: Sequence[str] = ()
    penalty: float = 0.0
    data: str = ""
    documents: int = 0
    pairs: int = 0
    unread: int = 0
    labelled: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float | None:
        """Share of what is said that is labelled; None where nothing is said."""
        said = self.right + self.wrong
        return self.right / said if said else None

    @property
    def recall(self) -> float | None:
        """Share of what is labelled that is said; None where nothing is labelled."""
        return self.right / self.labelled if self.labelled else None

    def threshold_of(self, relation: str) -> float:
        """Least score of a relation."""
        return self.relation_thresholds.get(relation, self.threshold)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; precision and recall are written along for people."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            "format": FORMAT,
            **data,
            "relation_thresholds": dict(self.relation_thresholds),
            "relations": list(self.relations),
            "triples": self.triples.to_json(),
            "precision": self.precision,
            "recall": self.recall,
        }

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read what :meth:`write` wrote.

        Raises:
            DataError: The file is missing, or no calibration of this format.
        """
        data = read_json(path)
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise DataError(
                f"{path.name} is no calibration of format {FORMAT}; 'cfcre spans calibrate' "
                "writes one"
            )
        try:
            kept = {name: data[name] for name in cls.__dataclass_fields__}
            kept["triples"] = Triples.from_json(kept["triples"])
            kept["relations"] = tuple(kept["relations"])
            made = cls(**kept)
            thresholds: list[Any] = [made.threshold, *made.relation_thresholds.values()]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path.name} is a damaged calibration: {error!r}") from error
        if not all(isinstance(t, int | float) and -3 <= t <= 3 for t in thresholds):
            raise DataError(f"{path.name} is a damaged calibration: a threshold is no cosine")
        return made


def calibrate(
    span_model: SpanModel,
    predictor: PairScorer,
    documents: Sequence[Document],
    *,
    triples: Triples | None = None,
    settings: ExtractionSettings | None = None,
    symmetric: Iterable[str] = (),
) -> Calibration:
    """Choose the thresholds of a relation model.

    Args:
        span_model: Divides long documents, and says which types relations were seen between.
        predictor: The relation model.
        documents: With all their entities and relations; none that either model was trained on.
        triples: Types that relations were seen between, joined to the span model's.
        settings: As those of the extractor that uses the result.
        symmetric: Relations that hold both ways, beside the span model's.

    Raises:
        DataError: No document has a pair of entities that could be related.
    """
    settings = settings or ExtractionSettings()
    either = frozenset(symmetric) | span_model.types.symmetric
    seen = span_model.triples if triples is None else span_model.triples.joined(triples)
    seen = replace(seen, symmetric=either)
    names = predictor.relations
    reading = read_texts(documents, span_model, settings)
    rows, types, keys = [], [], []
    labelled: set[tuple[int, tuple[int, int], tuple[int, int], str]] = set()
    for number, document in enumerate(documents):
        entities = sorted(document.entities)
        spans = [entity[:2] for entity in entities]
        near = pairs_of(spans, reading.plans[number].windows, settings.reach)
        rows += pair_rows(document.text, document.offsets, spans, near)
        types += [(entities[p.first].type, entities[p.second].type) for p in near]
        keys += [(number, spans[p.first], spans[p.second]) for p in near]
        labelled |= {
            _oriented(number, document.entities[h][:2], document.entities[t][:2], name, either)
            for h, t, name in document.relations
            if name in names
        }
    cosines, scores, read = pair_scores(predictor, rows)
    if not read:
        raise DataError(
            f"{len(documents)} documents have no two entities that could be related; calibrate on "
            "documents with all their entities"
        )
    decisions = decide(
        cosines,
        [types[i] for i in read],
        names,
        triples=seen,
        penalty=settings.unseen_penalty,
        scores=scores,
        symmetric=either,
    )
    right = np.zeros(len(decisions.pair), dtype=bool)
    for entry, (pair, reverse, column, _) in enumerate(decisions.rows()):
        number, first, second = keys[read[pair]]
        head, tail = (second, first) if reverse else (first, second)
        right[entry] = _oriented(number, head, tail, names[column], either) in labelled
    common, own = _thresholds(decisions, right, names, labelled, len(read), settings.false_share)
    limits = np.array([own.get(name, common) for name in names])
    said = decisions.score >= limits[decisions.relation]
    return Calibration(
        threshold=common,
        relation_thresholds=own,
        triples=seen,
        relations=tuple(names),
        penalty=settings.unseen_penalty,
        data=documents_digest(documents),
        documents=len(documents),
        pairs=len(rows),
        unread=len(rows) - len(read),
        labelled=len(labelled),
        right=int((said & right).sum()),
        wrong=int((said & ~right).sum()),
    )


def _thresholds(
    decisions: Decisions,
    right: npt.NDArray[np.bool_],
    names: Sequence[str],
    labelled: Iterable[tuple[Any, Any, Any, str]],
    pairs: int,
    share: float,
) -> tuple[float, dict[str, float]]:
    """The common threshold, and those of relations that no document has."""
    present = {name for *_, name in labelled}
    if present:
        common = best_threshold(decisions.score, right, sum(1 for _ in labelled))
    else:
        common = threshold_of_share(decisions.score, pairs, share)
    own = {}
    for column, name in enumerate(names):
        if present and name not in present:
            scores = decisions.score[decisions.relation == column]
            own[name] = max(common, threshold_of_share(scores, pairs, share))
    return common, own


def documents_digest(documents: Iterable[Document]) -> str:
    """SHA-256 of words, entities and relations, in order."""
    digest = hashlib.sha256()
    for document in documents:
        parts = [document.words, document.entities, document.relations]
        digest.update(json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode("ascii"))
        digest.update(b"\n")
    return digest.hexdigest()


def _oriented(
    number: int,
    head: tuple[int, int],
    tail: tuple[int, int],
    name: str,
    symmetric: frozenset[str],
) -> tuple[int, tuple[int, int], tuple[int, int], str]:
    """A relation of a document; one that holds both ways goes from the entity that is first."""
    if name in symmetric and tail < head:
        head, tail = tail, head
    return number, head, tail, name
