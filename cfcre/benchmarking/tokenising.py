"""Every sentence is tokenised once, whatever the number of methods and orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import EncodedExamples, MarkerTokenizer, load_tokenizer

__all__ = ["CachingTokenizer"]

#: Sequences kept before the cache starts anew: some 200 MB. Auxiliary examples differ from order to
#: order, so a benchmark of all orders meets many that it never meets again.
_MAX_ROWS = 400_000


class CachingTokenizer(MarkerTokenizer):
    """A tokenizer that remembers the word pieces of every sentence with its spans.

    Args:
        tokenizer: The encoder's own.
    """

    def __init__(self, tokenizer: MarkerTokenizer) -> None:
        super().__init__(tokenizer.backend, tokenizer.vocabulary_size)
        self._rows: dict[tuple[str, int], int] = {}
        self._parts: list[EncodedExamples] = []
        self._all: EncodedExamples | None = None
        self.tokenised = 0

    @classmethod
    def of_encoder(cls, encoder: str) -> CachingTokenizer:
        """The tokenizer of an encoder (preset, folder or hub name)."""
        return cls(load_tokenizer(encoder))

    def encode(self, examples: Sequence[RelationExample], max_length: int) -> EncodedExamples:
        """Word pieces of the examples, as :meth:`MarkerTokenizer.encode` gives them.

        Raises:
            DataError: The window that holds both entities is longer than ``max_length``.
        """
        if not examples:
            return super().encode(examples, max_length)
        if len(self._rows) + len(examples) > _MAX_ROWS:
            self._rows.clear()
            self._parts.clear()
        keys = [(e.input_key, max_length) for e in examples]
        new = {key: i for i, key in enumerate(keys) if key not in self._rows}
        if new:
            self._parts.append(super().encode([examples[i] for i in new.values()], max_length))
            self.tokenised += len(new)
            for key in new:
                self._rows[key] = len(self._rows)
            self._all = None
        if self._all is None:
            self._all = EncodedExamples.joined(self._parts)
            self._parts = [self._all]
        return self._all.rows(np.fromiter((self._rows[k] for k in keys), np.int64, len(keys)))
