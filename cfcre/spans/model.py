"""The library's surface: train a span model, keep it, load it, predict with it.

::

    model = SpanModel.load(folder)
    for found in model.predict(["Ada Thornwick was born in Velmora.", ["Words", "as", "given"]]):
        for relation in found.relations:
            head, tail = found.entities[relation.head], found.entities[relation.tail]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cfcre.config import ComputeSettings
from cfcre.errors import ConfigurationError, DataError
from cfcre.modeling.compute import Compute
from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.gold import gold_labels
from cfcre.spans.predicting import PredictedLabels, Thresholds, predict_labels
from cfcre.spans.scoring import Scores, score_labels
from cfcre.spans.state import SpanState
from cfcre.spans.triples import Triples
from cfcre.spans.word_pieces import EncodedDocuments

__all__ = ["Found", "FoundEntity", "FoundRelation", "SpanModel"]


@dataclass(frozen=True)
class FoundEntity:
    """An entity that was predicted.

    Attributes:
        start: First word.
        end: Last word, exclusive.
        first_character: In :attr:`Found.text`.
        last_character: Exclusive.
        text: Its surface form.
        type: Its most probable type.
        score: Probability of that type, in (0, 1].
    """

    start: int
    end: int
    first_character: int
    last_character: int
    text: str
    type: str
    score: float


@dataclass(frozen=True)
class FoundRelation:
    """A relation that was predicted.

    Attributes:
        head: Place of the head in :attr:`Found.entities`.
        tail: Place of the tail.
        type: The relation.
        score: Its probability, independent of other relations of the pair.
    """

    head: int
    tail: int
    type: str
    score: float


@dataclass(frozen=True)
class Found:
    """What was found in one document.

    Attributes:
        text: The document's text; character offsets count in it.
        words: Characters ``[start, end)`` of each word in it.
        entities: By first word and end; they may overlap.
        relations: By head, tail and type; one that holds both ways goes from the entity that
            stands first.
    """

    text: str
    words: tuple[tuple[int, int], ...]
    entities: tuple[FoundEntity, ...]
    relations: tuple[FoundRelation, ...]


class SpanModel:
    """A trained span model, ready to predict.

    Args:
        state: Network, tokenizer and types.
        compute: Device, threads, and word pieces of a batch; precision is always float32 here.
    """

    def __init__(self, state: SpanState, compute: ComputeSettings | None = None) -> None:
        settings = compute or ComputeSettings()
        self.state = state
        self._compute = Compute.from_settings(settings)
        self._budget = settings.inference_token_budget
        self._symmetric = np.array(
            [name in state.types.symmetric for name in state.types.relations], dtype=bool
        )
        state.network.to(self._compute.device).eval()

    @classmethod
    def load(cls, folder: Path, compute: ComputeSettings | None = None) -> SpanModel:
        """Read a model directory.

        Raises:
            StateError: It is missing, damaged, or of another format.
        """
        return cls(SpanState.load(folder), compute)

    @property
    def types(self) -> LabelTypes:
        """Entity and relation types."""
        return self.state.types

    @property
    def triples(self) -> Triples:
        """Entity types that its training documents had relations between."""
        # Models that were written before these were counted have none.
        return Triples.from_json(self.state.lineage.get("triples", Triples().to_json()))

    def predict(
        self,
        documents: Sequence[str | Sequence[str] | Document],
        *,
        entity_thresholds: Mapping[str, float] | None = None,
        relation_thresholds: Mapping[str, float] | None = None,
    ) -> list[Found]:
        """Find entities and relations, whatever the number of documents, in batches.

        Args:
            documents: Texts, lists of words, or documents. One without words finds nothing.
            entity_thresholds: Least probability by type, instead of ``spans.entity_threshold``.
            relation_thresholds: The same for relations; 0 gives every pair of entities.

        Raises:
            DataError: A document has more word pieces than the model reads; nothing is cut.
            ConfigurationError: A threshold is for a type that the model does not have, or one
                document was given instead of a list.
        """
        if isinstance(documents, str | Document):
            raise ConfigurationError("predict takes a list of documents; put the one into a list")
        made = [_document(document) for document in documents]
        encoded = self.encode(made)
        labels = self.predict_encoded(
            encoded, entity_thresholds=entity_thresholds, relation_thresholds=relation_thresholds
        )
        return self._unpack(made, labels)

    def encode(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Word pieces of documents.

        Raises:
            DataError: A document has more of them than the model reads.
        """
        encoded = self.state.tokenizer.encode([document.words for document in documents])
        limit = self.state.settings.max_length
        for number in np.flatnonzero(encoded.lengths > limit).tolist():
            named = f" (id {documents[number].id})" if documents[number].id else ""
            raise DataError(
                f"document {number}{named} has {encoded.lengths[number]} word pieces; the model "
                f"reads {limit}: divide it"
            )
        return encoded

    def predict_encoded(
        self,
        encoded: EncodedDocuments,
        *,
        entity_thresholds: Mapping[str, float] | None = None,
        relation_thresholds: Mapping[str, float] | None = None,
    ) -> PredictedLabels:
        """The same on word pieces, as packed arrays."""
        settings, types = self.state.settings, self.state.types
        entity = _thresholds(entity_thresholds, types.entities, settings.entity_threshold)
        return predict_labels(
            self.state.network,
            encoded,
            thresholds=Thresholds(
                np.concatenate([np.zeros(1, np.float32), entity]),
                _thresholds(relation_thresholds, types.relations, settings.relation_threshold),
            ),
            temperature=settings.temperature,
            symmetric=self._symmetric,
            compute=self._compute,
            token_budget=self._budget,
        )

    def evaluate(self, documents: Sequence[Document]) -> dict[str, Scores]:
        """Score predictions against the documents' own labels.

        Returns:
            ``entities``, ``relations`` and ``relations_strict``.

        Raises:
            DataError: A document is too long, or has a type that the model does not have.
        """
        for number, document in enumerate(documents):
            unknown = {e.type for e in document.entities} - set(self.types.entities)
            unknown |= {r.type for r in document.relations} - set(self.types.relations)
            if unknown:
                raise DataError(
                    f"document {number} has type {min(unknown)!r}, which the model does not have: "
                    f"{', '.join((*self.types.entities, *self.types.relations))}"
                )
        predicted = self.predict_encoded(self.encode(documents))
        return score_labels(gold_labels(documents, self.types), predicted, self.types)

    def _unpack(self, documents: Sequence[Document], labels: PredictedLabels) -> list[Found]:
        entities: list[list[FoundEntity]] = [[] for _ in documents]
        places: list[tuple[int, int]] = []
        for number, start, end, kind, score in zip(
            labels.entity_document.tolist(),
            labels.entity_start.tolist(),
            labels.entity_end.tolist(),
            labels.entity_type.tolist(),
            labels.entity_score.tolist(),
            strict=True,
        ):
            document = documents[number]
            first, last = document.characters(start, end)
            places.append((number, len(entities[number])))
            name = self.types.entities[kind - 1]
            entities[number].append(
                FoundEntity(start, end, first, last, document.text[first:last], name, score)
            )
        relations: list[list[FoundRelation]] = [[] for _ in documents]
        for head, tail, kind, score in zip(
            labels.head.tolist(),
            labels.tail.tolist(),
            labels.relation_type.tolist(),
            labels.relation_score.tolist(),
            strict=True,
        ):
            number, place = places[head]
            name = self.types.relations[kind]
            relations[number].append(FoundRelation(place, places[tail][1], name, score))
        return [
            Found(d.text, d.offsets, tuple(e), tuple(r))
            for d, e, r in zip(documents, entities, relations, strict=True)
        ]


def _document(given: str | Sequence[str] | Document) -> Document:
    if isinstance(given, Document):
        return given
    return Document.from_text(given) if isinstance(given, str) else Document.from_words(given)


def _thresholds(
    given: Mapping[str, float] | None, names: Sequence[str], default: float
) -> npt.NDArray[np.float32]:
    unknown = sorted(set(given or {}) - set(names))
    if unknown:
        raise ConfigurationError(
            f"a threshold is given for {unknown[0]!r}; the model's types are {', '.join(names)}"
        )
    return np.array([(given or {}).get(name, default) for name in names], dtype=np.float32)
