"""Two models on the same documents, whatever types each of them knows.

A label of a type that a model does not know counts as missed, as does everything in a document that
it can not read: no document is left out of one model's score and not of the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.gold import gold_labels
from cfcre.spans.model import SpanModel
from cfcre.spans.predicting import PredictedLabels
from cfcre.spans.scoring import Scores, score_labels

__all__ = ["DocumentScores", "joined_types", "score_documents"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DocumentScores:
    """Scores of one model.

    Attributes:
        scores: ``entities``, ``relations`` and ``relations_strict``.
        documents: Documents scored.
        unread: Of these, documents with more word pieces than the model reads.
    """

    scores: dict[str, Scores]
    documents: int
    unread: int

    def f1(self) -> dict[str, float]:
        """The three micro F1 figures."""
        return {name: scores.micro.f1 for name, scores in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "documents": self.documents,
            "unread": self.unread,
            **{name: scores.to_json() for name, scores in self.scores.items()},
        }


def joined_types(known: Iterable[LabelTypes]) -> LabelTypes:
    """All types of several sets, sorted by name; a type is symmetric if one set says so."""
    entities: set[str] = set()
    relations: set[str] = set()
    symmetric: set[str] = set()
    for types in known:
        entities.update(types.entities)
        relations.update(types.relations)
        symmetric.update(types.symmetric)
    return LabelTypes(tuple(sorted(entities)), tuple(sorted(relations)), frozenset(symmetric))


def score_documents(
    model: SpanModel, documents: Sequence[Document], types: LabelTypes
) -> DocumentScores:
    """Score a model's predictions against the documents' labels.

    Args:
        model: Its types are all among ``types``.
        documents: Their types are all among ``types``.
        types: Gives the numbers that labels and predictions share.
    """
    encoded = model.state.tokenizer.encode([document.words for document in documents])
    readable = np.flatnonzero(encoded.lengths <= model.state.settings.max_length)
    predicted = model.predict_encoded(encoded.take(readable))
    scores = score_labels(
        gold_labels(documents, types), _renumbered(predicted, readable, model.types, types), types
    )
    return DocumentScores(scores, len(documents), len(documents) - len(readable))


def _renumbered(
    predicted: PredictedLabels, documents: Index, own: LabelTypes, types: LabelTypes
) -> PredictedLabels:
    """Predictions with the numbers of all documents and of all types."""
    entity = [0, *(types.entity_number[name] for name in own.entities)]
    relation = [types.relation_number[name] for name in own.relations]
    return replace(
        predicted,
        entity_document=documents[predicted.entity_document],
        entity_type=np.array(entity, dtype=np.int64)[predicted.entity_type],
        relation_type=np.array(relation, dtype=np.int64)[predicted.relation_type],
    )
