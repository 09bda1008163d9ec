"""Words to word pieces, with the place of every word's pieces.

Words are encoded one by one, each distinct word once, so that a word's pieces never depend on its
neighbours and the alignment needs no offsets. A word without pieces (control characters, a
variation selector) gets the unknown piece: every word has at least one, and none shifts another.
Text that holds ``[SEP]`` or a marker literally is read as those characters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from cfcre.data.tokenizer_files import load_backend
from cfcre.errors import ConfigurationError

__all__ = ["EncodedDocuments", "WordPieceTokenizer", "load_word_pieces"]

Index = npt.NDArray[np.int64]

_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>")
_UNKNOWN_TOKENS = ("[UNK]", "<unk>", "<|unk|>")


@dataclass(frozen=True)
class EncodedDocuments:
    """Word pieces of D documents, packed without padding.

    Attributes:
        ids: int64 ``[total pieces]``: start piece, pieces of the words, end piece, document after
            document.
        offsets: int64 ``[D + 1]``; document d is ``ids[offsets[d]:offsets[d + 1]]``.
        word_ends: int64 ``[total words]``, place within its document after a word's last piece. Its
            first piece is where the word before ends; the first word's is 1.
        word_offsets: int64 ``[D + 1]`` into ``word_ends``.
        pad_id: Id that fills a padded batch.
    """

    ids: Index
    offsets: Index
    word_ends: Index
    word_offsets: Index
    pad_id: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Index:
        """Word pieces of each document, start and end included, ``[D]``."""
        return np.diff(self.offsets)

    @property
    def word_counts(self) -> Index:
        """Words of each document, ``[D]``."""
        return np.diff(self.word_offsets)

    def take(self, rows: Index) -> EncodedDocuments:
        """The documents ``rows``, in that order."""

        def gather(values: Index, offsets: Index) -> tuple[Index, Index]:
            counts = offsets[rows + 1] - offsets[rows]
            ends = np.concatenate([[0], np.cumsum(counts)])
            places = np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], counts)
            return values[places], ends

        ids, offsets = gather(self.ids, self.offsets)
        word_ends, word_offsets = gather(self.word_ends, self.word_offsets)
        return EncodedDocuments(ids, offsets, word_ends, word_offsets, self.pad_id)


class WordPieceTokenizer:
    """An encoder's fast tokenizer, used word by word.

    Args:
        backend: The encoder's own tokenizer; its special tokens are not recognised in text.
        source: Name for error messages.
    """

    def __init__(self, backend: Tokenizer, source: str = "the encoder") -> None:
        backend.no_truncation()
        backend.no_padding()
        # Text that holds "[SEP]" is text, not a separator.
        backend.encode_special_tokens = True
        _prefix_words(backend)
        self._backend = backend
        special = backend.encode("", add_special_tokens=True).ids
        if len(special) < 2:
            raise ConfigurationError(f"the tokenizer of {source} has no start and end tokens")
        self._start, self._end = int(special[0]), int(special[-1])
        self.pad_id = _first_id(backend, _PAD_TOKENS, self._start)
        self._unknown = _first_id(backend, _UNKNOWN_TOKENS, self.pad_id)

    def save(self, path: Path) -> None:
        """Write the backend as ``tokenizer.json``."""
        self._backend.save(str(path))

    def encode(self, documents: Sequence[Sequence[str]]) -> EncodedDocuments:
        """Encode documents, each a sequence of words; a document may have no words."""
        counts = np.array([len(words) for words in documents], dtype=np.int64)
        numbers: dict[str, int] = {}
        used = np.array(
            [numbers.setdefault(word, len(numbers)) for words in documents for word in words],
            dtype=np.int64,
        )
        pieces = self._pieces(list(numbers))
        sizes = np.array([len(p) for p in pieces], dtype=np.int64)
        flat = np.array([i for p in pieces for i in p], dtype=np.int64)
        firsts = np.cumsum(sizes) - sizes
        word_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        # Where each word's pieces begin and end when all words are written one after another.
        word_sizes = sizes[used]
        ends = np.cumsum(word_sizes)
        bounds = np.concatenate([[0], ends])
        lengths = bounds[word_offsets[1:]] - bounds[word_offsets[:-1]] + 2
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = np.empty(int(offsets[-1]), dtype=np.int64)
        ids[offsets[:-1]] = self._start
        ids[offsets[1:] - 1] = self._end
        source = np.repeat(firsts[used] - (ends - word_sizes), word_sizes) + np.arange(bounds[-1])
        # Each document before this one, and this one's start piece, push the pieces along.
        document = np.repeat(np.arange(len(documents)), counts)
        ids[np.repeat(2 * document + 1, word_sizes) + np.arange(bounds[-1])] = flat[source]
        word_ends = ends - bounds[word_offsets[document]] + 1
        return EncodedDocuments(ids, offsets, word_ends, word_offsets, self.pad_id)

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        # The backend takes UTF-8: half a surrogate pair becomes a question mark.
        safe = [word.encode("utf-8", "replace").decode("utf-8") for word in words]
        encodings = self._backend.encode_batch_fast(safe, add_special_tokens=False)
        return [encoding.ids or [self._unknown] for encoding in encodings]


def load_word_pieces(folder: Path) -> WordPieceTokenizer:
    """The tokenizer in an encoder's folder.

    Raises:
        ConfigurationError: The folder has no usable tokenizer.
    """
    return WordPieceTokenizer(load_backend(folder), folder.name)


def _first_id(backend: Tokenizer, names: Sequence[str], default: int) -> int:
    found = (backend.token_to_id(name) for name in names)
    return next((int(i) for i in found if i is not None), default)


def _prefix_words(backend: Tokenizer) -> None:
    """Byte-level vocabularies write a word in a sentence with the space before it."""
    made: dict[str, Any] = json.loads(backend.to_str())
    step = made.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", [step])
    if any(s.get("type") == "ByteLevel" and not s.get("add_prefix_space") for s in steps):
        for s in steps:
            if s.get("type") == "ByteLevel":
                s["add_prefix_space"] = True
        backend.pre_tokenizer = Tokenizer.from_str(json.dumps(made)).pre_tokenizer
