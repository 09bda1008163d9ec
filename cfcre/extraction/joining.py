"""Relations from the relation model: which pairs it looks at, and what it says about them.

A pair of entities becomes two rows, one a direction. The model's rule of prediction names the
relation, for ``nearest-prototype`` eq. 12 and 13; that none holds is said by a threshold on the
cosine with that relation's prototype, whatever the rule. Of a relation that is found in both
directions of a pair the better one stands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cfcre.data.schema import RelationExample, Span
from cfcre.methods.predictor import Predictor
from cfcre.spans.triples import Triples

__all__ = ["Decisions", "Pair", "PairScorer", "decide", "pair_rows", "pair_scores", "pairs_of"]

Array = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

#: Pairs whose rows are in memory at once.
_ROWS = 4096


class PairScorer(Protocol):
    """What a relation model must have; one that is no ``Predictor`` predicts by its cosines."""

    @property
    def relations(self) -> list[str]:
        """Relations, the columns of :meth:`similarities`."""
        ...

    def fits(self, examples: Sequence[RelationExample]) -> list[bool]:
        """Whether each row's entities, with all between them, fit the encoder."""
        ...

    def similarities(self, examples: Sequence[RelationExample]) -> Array:
        """Cosines, ``[N, R]``."""
        ...


class Pair(NamedTuple):
    """Two entities of a text by their numbers, the first before the second, and words around."""

    first: int
    second: int
    start: int
    end: int


def pairs_of(
    spans: Sequence[tuple[int, int]], windows: Sequence[tuple[int, int]], reach: int
) -> list[Pair]:
    """Pairs of entities that share no word, stand near each other and lie in one window.

    Args:
        spans: Words of the entities, ascending.
        windows: Words of the windows, ascending in both ends.
        reach: Most words between the two.

    Returns:
        Pairs with the words that a row shows: up to ``reach`` to either side, within the window
        that leaves most room on its narrower side.
    """
    starts = [start for start, _ in windows]
    ends = [end for _, end in windows]
    found = []
    for first, (start, end) in enumerate(spans):
        for second in range(first + 1, len(spans)):
            begin, stop = spans[second]
            if begin > end + reach:
                break
            if begin < end:
                continue
            # Windows that begin before the pair, and among these those that end after it.
            low, high = bisect_left(ends, stop), bisect_right(starts, start)
            if low >= high:
                continue
            best = max(range(low, high), key=lambda w: min(start - starts[w], ends[w] - stop))
            left, right = max(starts[best], start - reach), min(ends[best], stop + reach)
            found.append(Pair(first, second, left, right))
    return found


def pair_rows(
    text: str,
    offsets: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int]],
    pairs: Sequence[Pair],
) -> list[RelationExample]:
    """Rows of pairs, from the first entity to the second.

    Half surrogates, which an encoder can not read, become replacement characters; offsets stay.
    """
    rows = []
    for first, second, start, end in pairs:
        begin = offsets[start][0]
        shown = text[begin : offsets[end - 1][1]]
        if not shown.isascii():
            shown = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in shown)
        head, tail = (
            Span(offsets[a][0] - begin, offsets[b - 1][1] - begin)
            for a, b in (spans[first], spans[second])
        )
        rows.append(RelationExample(shown, head, tail))
    return rows


def pair_scores(
    model: PairScorer, rows: Sequence[RelationExample]
) -> tuple[Array, Array, list[int]]:
    """Cosines of both directions of pairs, and the scores of the model's rule of prediction.

    Args:
        model: The relation model.
        rows: P rows, from the first entity to the second.

    Returns:
        Cosines and scores, float32 ``[2, Q, R]`` each, and the numbers of the Q rows that the model
        can read: the others have more word pieces between their entities than its encoder reads.
    """
    read: list[int] = []
    parts: list[Array] = []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        fits = [number for number, fit in enumerate(model.fits(part)) if fit]
        read += [start + number for number in fits]
        forward = [part[number] for number in fits]
        backward = [replace(row, head=row.tail, tail=row.head) for row in forward]
        found = np.stack(_ask(model, [*forward, *backward]))
        parts.append(found.reshape(2, 2, len(forward), len(model.relations)))
    if not read:
        nothing = np.zeros((2, 0, len(model.relations)), dtype=np.float32)
        return nothing, nothing, []
    cosines, scores = np.concatenate([part for part in parts if part.size], axis=2)
    return cosines, scores, read


def _ask(model: PairScorer, rows: Sequence[RelationExample]) -> tuple[Array, Array]:
    """Cosines, and scores of the rule; the encoder reads the rows once."""
    if not isinstance(model, Predictor):
        cosines = model.similarities(rows)
        return cosines, cosines
    features = model.embed(rows)
    return features[:, : model.prototypes.shape[1]] @ model.prototypes.T, model.rule.scores(
        features
    )


@dataclass(frozen=True)
class Decisions:
    """What the relation model says about P pairs, whatever the threshold.

    One entry for each relation and pair that is the best in at least one direction.

    Attributes:
        pair: int64 ``[D]``, number of the pair.
        reverse: bool ``[D]``, whether it goes from the second entity to the first.
        relation: int64 ``[D]``, column of the relation.
        score: float32 ``[D]``, cosine less the penalty.
    """

    pair: Index
    reverse: npt.NDArray[np.bool_]
    relation: Index
    score: Array

    def rows(self) -> Iterator[tuple[int, bool, int, float]]:
        """Pair, reverse, relation and score of each entry."""
        return zip(
            self.pair.tolist(),
            self.reverse.tolist(),
            self.relation.tolist(),
            self.score.tolist(),
            strict=True,
        )


def decide(
    cosines: Array,
    types: Sequence[tuple[str, str]],
    relations: Sequence[str],
    *,
    triples: Triples,
    penalty: float,
    scores: Array | None = None,
    constraints: Triples | None = None,
    symmetric: frozenset[str] = frozenset(),
) -> Decisions:
    """Choose a relation for each direction of each pair.

    ``scores`` choose among the relations that were seen between the types, and among those that
    were not: two scores of one rule compare, whatever their unit. Between the two chosen ones the
    cosine decides, in whose unit the penalty is. Where the scores are the cosines, the best cosine
    less penalty wins.

    Args:
        cosines: ``[2, P, R]``, first entity to second, then second to first.
        types: Entity types of the P pairs, first and second.
        relations: Names of the R columns.
        triples: Types that relations were seen between.
        penalty: Taken off the cosine between other types.
        scores: Of the rule of prediction, ``[2, P, R]``; None are the cosines.
        constraints: Types that relations may hold between at all.
        symmetric: Relations that hold both ways; they go from the first entity.
    """
    none = np.zeros(0, dtype=np.int64)
    if not cosines.size:
        return Decisions(none, none.astype(bool), none, none.astype(np.float32))
    directions = (types, [(second, first) for first, second in types])
    seen = np.stack([triples.seen_table(pairs, relations) for pairs in directions])
    allowed = np.ones_like(seen)
    if constraints is not None:
        allowed = np.stack([constraints.seen_table(pairs, relations) for pairs in directions])
    ranking = cosines if scores is None else scores
    usual, usual_score = _best(ranking, cosines, seen & allowed)
    other, other_score = _best(ranking, cosines - np.float32(penalty), ~seen & allowed)
    first = (usual_score > other_score) | ((usual_score == other_score) & (usual < other))
    best = np.where(first, usual, other)
    score = np.where(first, usual_score, other_score)
    both = best[0] == best[1]
    backward_wins = score[1] > score[0]
    keep = np.stack([~both | ~backward_wins, ~both | backward_wins]) & np.isfinite(score)
    reverse, pair = np.nonzero(keep)
    relation = best[reverse, pair]
    either = np.array([name in symmetric for name in relations], dtype=bool)
    order = np.lexsort((reverse, pair))
    return Decisions(
        pair[order],
        (reverse.astype(bool) & ~either[relation])[order],
        relation[order],
        score[reverse, pair][order].astype(np.float32),
    )


def _best(ranking: Array, worth: Array, among: npt.NDArray[np.bool_]) -> tuple[Index, Array]:
    """The best-ranked column of those allowed, the first of equals, and its worth; -inf of none."""
    column = np.where(among, ranking, -np.inf).argmax(axis=2)
    place = column[..., None]
    there = np.take_along_axis(among, place, axis=2)[..., 0]
    value = np.take_along_axis(worth, place, axis=2)[..., 0]
    return column, np.where(there, value, -np.inf)
