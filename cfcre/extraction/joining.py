"""Relations from the relation model: which pairs it looks at, and what it says about them.

A pair of entities becomes two rows, one a direction. The nearest prototype names the relation
(eq. 12, 13); that none holds is said by a threshold on its cosine. Of a relation that is found in
both directions of a pair the better one stands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cfcre.data.schema import RelationExample, Span
from cfcre.spans.triples import Triples

__all__ = ["Decisions", "Pair", "PairScorer", "decide", "pair_cosines", "pair_rows", "pairs_of"]

Array = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

#: Pairs whose rows are in memory at once.
_ROWS = 4096


class PairScorer(Protocol):
    """The part of :class:`cfcre.methods.predictor.Predictor` that is used here."""

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


def pair_cosines(model: PairScorer, rows: Sequence[RelationExample]) -> tuple[Array, list[int]]:
    """Cosines of both directions of pairs.

    Args:
        model: The relation model.
        rows: P rows, from the first entity to the second.

    Returns:
        float32 ``[2, Q, R]``, and the numbers of the Q rows that the model can read: the others
        have more word pieces between their entities than its encoder reads.
    """
    read: list[int] = []
    parts: list[Array] = []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        fits = [number for number, fit in enumerate(model.fits(part)) if fit]
        read += [start + number for number in fits]
        forward = [part[number] for number in fits]
        backward = [replace(row, head=row.tail, tail=row.head) for row in forward]
        cosines = model.similarities([*forward, *backward])
        parts.append(cosines.reshape(2, len(forward), len(model.relations)))
    if not read:
        return np.zeros((2, 0, len(model.relations)), dtype=np.float32), []
    return np.concatenate([part for part in parts if part.size], axis=1), read


@dataclass(frozen=True)
class Decisions:
    """What the relation model says about P pairs, whatever the threshold.

    One entry for each relation and pair that is nearest in at least one direction.

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
    constraints: Triples | None = None,
    symmetric: frozenset[str] = frozenset(),
) -> Decisions:
    """Choose a relation for each direction of each pair.

    Args:
        cosines: ``[2, P, R]``, first entity to second, then second to first.
        types: Entity types of the P pairs, first and second.
        relations: Names of the R columns.
        triples: Types that relations were seen between.
        penalty: Taken off the cosine between other types.
        constraints: Types that relations may hold between at all.
        symmetric: Relations that hold both ways; they go from the first entity.
    """
    none = np.zeros(0, dtype=np.int64)
    if not cosines.size:
        return Decisions(none, none.astype(bool), none, none.astype(np.float32))
    directions = (types, [(second, first) for first, second in types])
    seen = np.stack([triples.seen_table(pairs, relations) for pairs in directions])
    scores = np.where(seen, cosines, cosines - np.float32(penalty))
    if constraints is not None:
        allowed = np.stack([constraints.seen_table(pairs, relations) for pairs in directions])
        scores = np.where(allowed, scores, -np.inf)
    best = scores.argmax(axis=2)
    score = np.take_along_axis(scores, best[..., None], axis=2)[..., 0]
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
