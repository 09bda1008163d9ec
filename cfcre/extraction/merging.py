"""What several windows found in one text as one list, and entities that share words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cfcre.errors import DataError
from cfcre.extraction.reading import Reading
from cfcre.extraction.results import ExtractedRelation
from cfcre.spans.documents import LabelTypes
from cfcre.spans.predicting import PredictedLabels

__all__ = [
    "FoundInText",
    "Overlap",
    "WordEntity",
    "merge_entities",
    "merge_windows",
    "resolve_overlaps",
]

Overlap = Literal["allow", "best", "error"]
"""Entities that share words: keep all, keep the best scored, or refuse the text."""


class WordEntity(NamedTuple):
    """Words ``[start, end)`` of a text, their type, and its score."""

    start: int
    end: int
    type: str
    score: float


@dataclass
class FoundInText:
    """What is known of one text so far.

    Attributes:
        entities: By start and end; no two have the same words.
        relations: Between them, by their places in the list.
    """

    entities: list[WordEntity]
    relations: list[ExtractedRelation]


def merge_windows(
    reading: Reading, labels: PredictedLabels, types: LabelTypes, policy: Overlap
) -> list[FoundInText]:
    """One list of entities and relations for each text.

    A relation between two spans has the best score of the windows that found it. With an entity
    that the policy leaves out go the relations it is part of.

    Args:
        reading: The texts' windows.
        labels: Predictions for these windows.
        types: Names of the predicted numbers.
        policy: What to do with entities that share words.

    Raises:
        DataError: Entities share words and the policy is ``error``.
    """
    texts = reading.text[labels.entity_document].tolist()
    shift = reading.start[labels.entity_document]
    spans = list(
        zip(
            (labels.entity_start + shift).tolist(),
            (labels.entity_end + shift).tolist(),
            strict=True,
        )
    )
    found: list[list[WordEntity]] = [[] for _ in reading.documents]
    for text, span, kind, score in zip(
        texts, spans, labels.entity_type.tolist(), labels.entity_score.tolist(), strict=True
    ):
        found[text].append(WordEntity(*span, types.entities[kind - 1], score))
    merged = []
    for number, entities in enumerate(found):
        document = reading.documents[number]
        where = f"text {number}" + (f" (id {document.id})" if document.id else "")
        kept = resolve_overlaps(merge_entities(entities), policy, document.words, where)
        merged.append(FoundInText(kept, []))
    place = [{e[:2]: i for i, e in enumerate(text.entities)} for text in merged]
    best: dict[tuple[int, int, int, int], float] = {}
    for head, tail, kind, score in zip(
        labels.head.tolist(),
        labels.tail.tolist(),
        labels.relation_type.tolist(),
        labels.relation_score.tolist(),
        strict=True,
    ):
        text = texts[head]
        first, second = place[text].get(spans[head]), place[text].get(spans[tail])
        if first is not None and second is not None:
            key = (text, first, second, kind)
            best[key] = max(score, best.get(key, 0.0))
    for (text, first, second, kind), score in best.items():
        relation = ExtractedRelation(first, second, types.relations[kind], score, "spans")
        merged[text].relations.append(relation)
    return merged


def merge_entities(found: Iterable[WordEntity]) -> list[WordEntity]:
    """One entity a span, by start and end, with the type that has the best score anywhere.

    Of equal scores the type that comes first by name is taken, so that the result does not depend
    on the order of windows.
    """
    best: dict[tuple[int, int], WordEntity] = {}
    for entity in found:
        known = best.get(entity[:2])
        if known is None or (-entity.score, entity.type) < (-known.score, known.type):
            best[entity[:2]] = entity
    return sorted(best.values())


def resolve_overlaps(
    entities: Sequence[WordEntity], policy: Overlap, words: Sequence[str], where: str
) -> list[WordEntity]:
    """Apply the overlap policy.

    ``best`` goes through the entities from the best score to the worst and keeps each that shares
    no word with one already kept; of equal scores the longer goes first, then the earlier.

    Args:
        entities: By start and end.
        policy: What to do.
        words: Of the text, for the error.
        where: The text's name, for the error.

    Raises:
        DataError: Two entities share words and the policy is ``error``.
    """
    if policy == "allow":
        return list(entities)
    if policy == "error":
        _refuse_overlaps(entities, words, where)
        return list(entities)
    # No two kept entities share a word, so begins and ends are both in order.
    starts: list[int] = []
    kept: list[WordEntity] = []
    for entity in sorted(entities, key=lambda e: (-e.score, e.start - e.end, e.start)):
        place = bisect_left(starts, entity.start)
        before_ends = place == 0 or kept[place - 1].end <= entity.start
        if before_ends and bisect_right(starts, entity.end - 1) == place:
            starts.insert(place, entity.start)
            kept.insert(place, entity)
    return kept


def _refuse_overlaps(entities: Sequence[WordEntity], words: Sequence[str], where: str) -> None:
    furthest: WordEntity | None = None
    for entity in entities:
        if furthest is not None and entity.start < furthest.end:
            first, second = (
                f"{' '.join(words[e.start : e.end])!r} ({e.type}, {e.score:.3f})"
                for e in (furthest, entity)
            )
            raise DataError(
                f"{where}: entities {first} and {second} share words; raise a threshold, or use "
                "the overlap policy 'best' or 'allow'"
            )
        if furthest is None or entity.end > furthest.end:
            furthest = entity
