"""Labels of documents as packed integer arrays: what training and scoring work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cfcre.spans.documents import Document, LabelTypes

__all__ = ["GoldLabels", "gold_labels"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GoldLabels:
    """Entities and relations of D documents.

    Attributes:
        entity_document: int64 ``[E]``, ascending.
        entity_start: int64 ``[E]``, first word within the document.
        entity_end: int64 ``[E]``, exclusive.
        entity_type: int64 ``[E]`` in 1 … K; 0 stands for "no entity" elsewhere.
        entity_offsets: int64 ``[D + 1]`` into the four above.
        head: int64 ``[R]``, number of an entity in the arrays above.
        tail: int64 ``[R]``.
        relation_type: int64 ``[R]``, counted from 0.
        relation_offsets: int64 ``[D + 1]`` into the three above.
        wide_entities: Entities left out because they are wider than the widest span.
        wide_relations: Relations left out because they have such an entity.
    """

    entity_document: Index
    entity_start: Index
    entity_end: Index
    entity_type: Index
    entity_offsets: Index
    head: Index
    tail: Index
    relation_type: Index
    relation_offsets: Index
    wide_entities: int = 0
    wide_relations: int = 0

    @property
    def relation_document(self) -> Index:
        """Document of each relation, int64 ``[R]``."""
        counts = np.diff(self.relation_offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def gold_labels(
    documents: Sequence[Document], types: LabelTypes, max_width: int | None = None
) -> GoldLabels:
    """Collect the labels of documents.

    Args:
        documents: Their types are all known.
        types: Gives the numbers.
        max_width: Leave out entities of more words, and their relations, and count them: a span
            that is never looked at can not be predicted, so there is nothing to learn from it.
            None keeps all, which is what scoring needs.
    """
    entities: list[tuple[int, int, int, int]] = []
    relations: list[tuple[int, int, int]] = []
    entity_counts, relation_counts = [], []
    wide_entities = wide_relations = 0
    for number, document in enumerate(documents):
        places: dict[int, int] = {}
        for i, (start, end, name) in enumerate(document.entities):
            if max_width is None or end - start <= max_width:
                places[i] = len(entities)
                entities.append((number, start, end, types.entity_number[name]))
        kept = 0
        for head, tail, name in document.relations:
            if head in places and tail in places:
                relations.append((places[head], places[tail], types.relation_number[name]))
                kept += 1
        wide_entities += len(document.entities) - len(places)
        wide_relations += len(document.relations) - kept
        entity_counts.append(len(places))
        relation_counts.append(kept)
    e = np.array(entities, dtype=np.int64).reshape(-1, 4).T.copy()
    r = np.array(relations, dtype=np.int64).reshape(-1, 3).T.copy()
    return GoldLabels(
        entity_document=e[0],
        entity_start=e[1],
        entity_end=e[2],
        entity_type=e[3],
        entity_offsets=_offsets(entity_counts),
        head=r[0],
        tail=r[1],
        relation_type=r[2],
        relation_offsets=_offsets(relation_counts),
        wide_entities=wide_entities,
        wide_relations=wide_relations,
    )


def _offsets(counts: list[int]) -> Index:
    return np.concatenate([[0], np.cumsum(np.array(counts, dtype=np.int64))]).astype(np.int64)
