"""All spans up to a width, as places in one grid of widths × words.

The words of a batch stand one after another. The span of ``w`` words that begins at word ``i`` has
the place ``(w - 1) * N + i`` in a grid of N words: what is computed for a whole width at once lies
where it is looked up, and no list of spans is ever padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["SpanGrid", "segment_of"]

Index = npt.NDArray[np.int64]


def segment_of(offsets: Index) -> Index:
    """Number of the segment that each element of a packed array is in.

    Args:
        offsets: int64 ``[D + 1]``, where segments begin and end.
    """
    counts = np.diff(offsets)
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


@dataclass(frozen=True)
class SpanGrid:
    """The spans of a batch of documents.

    Attributes:
        word_offsets: int64 ``[B + 1]``, words of each document.
        max_width: Words of the widest span.
    """

    word_offsets: Index
    max_width: int

    @property
    def words(self) -> int:
        """N, words of the batch."""
        return int(self.word_offsets[-1])

    @cached_property
    def widths(self) -> int:
        """W, the widest span that any document has room for; 0 without words."""
        longest = int(np.diff(self.word_offsets).max(initial=0))
        return min(self.max_width, longest)

    @cached_property
    def word_document(self) -> Index:
        """Document of each word, int64 ``[N]``."""
        return segment_of(self.word_offsets)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Whether a place of the grid is a span of one document, bool ``[W, N]``."""
        document_end = self.word_offsets[1:][self.word_document]
        last = np.arange(self.words) + np.arange(1, self.widths + 1)[:, None]
        return np.asarray(last <= document_end)

    @cached_property
    def places(self) -> Index:
        """Places of all spans, document by document, by width and then by first word."""
        inside = np.flatnonzero(self.inside)
        # Stable: within a document the order by width and first word is kept.
        order = np.argsort(self.word_document[inside % max(self.words, 1)], kind="stable")
        return inside[order]

    def place(self, document: Index, start: Index, end: Index) -> Index:
        """Places of spans given by document, first word and exclusive end within it."""
        return np.asarray((end - start - 1) * self.words + self.word_offsets[document] + start)

    def spans(self, places: Index) -> tuple[Index, Index, Index]:
        """Document, first word and exclusive end within the document of each place."""
        width, word = np.divmod(places, max(self.words, 1))
        document = self.word_document[word]
        start = word - self.word_offsets[document]
        return document, start, start + width + 1
