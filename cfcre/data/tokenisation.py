"""Sentences to word pieces with entity markers: ``[E11] head [E12] … [E21] tail [E22]``.

Marker positions come from the spans, never from the text: the five segments around the spans are
tokenised apart and the marker ids are inserted between them. A sentence that contains ``[E11]`` or
``[SEP]`` literally is read as those characters.

Imports only ``tokenizers``, so that a stage which checks lengths does not pay for torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from cfcre.data.encoder_files import resolve_encoder
from cfcre.data.schema import RelationExample
from cfcre.data.tokenizer_files import load_backend
from cfcre.errors import ConfigurationError, DataError

__all__ = ["MARKERS", "EncodedExamples", "MarkerTokenizer", "fits", "load_tokenizer"]

#: Head start, head end, tail start, tail end; their ids follow the encoder's own vocabulary.
MARKERS = ("[E11]", "[E12]", "[E21]", "[E22]")

_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>")


@dataclass(frozen=True)
class EncodedExamples:
    """Word pieces of N examples, packed without padding.

    Attributes:
        ids: int64 ``[total]``, all sequences one after another.
        offsets: int64 ``[N + 1]``; example i is ``ids[offsets[i]:offsets[i + 1]]``.
        head: int64 ``[N]``, position of ``[E11]`` within its sequence.
        tail: int64 ``[N]``, position of ``[E21]`` within its sequence.
        windowed: bool ``[N]``, whether context was left out to fit ``max_length``.
        pad_id: Id that fills a padded batch.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    head: npt.NDArray[np.int64]
    tail: npt.NDArray[np.int64]
    windowed: npt.NDArray[np.bool_]
    pad_id: int

    def __len__(self) -> int:
        return len(self.head)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Word pieces of each example, ``[N]``."""
        return np.diff(self.offsets)

    def rows(self, index: npt.NDArray[np.int64]) -> EncodedExamples:
        """The examples at these places, in this order; a place may come more than once."""
        lengths = self.lengths[index]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        # Where each piece stands in its own example, added to where that example starts.
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return EncodedExamples(
            self.ids[np.repeat(self.offsets[index], lengths) + within],
            offsets,
            self.head[index],
            self.tail[index],
            self.windowed[index],
            self.pad_id,
        )

    def head_rows(self, count: int) -> EncodedExamples:
        """The first ``count`` examples."""
        return EncodedExamples(
            self.ids[: self.offsets[count]],
            self.offsets[: count + 1],
            self.head[:count],
            self.tail[:count],
            self.windowed[:count],
            self.pad_id,
        )

    @classmethod
    def joined(cls, parts: Sequence[EncodedExamples]) -> EncodedExamples:
        """The examples of several packings of one tokenizer, one after another."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
            np.concatenate([part.head for part in parts]),
            np.concatenate([part.tail for part in parts]),
            np.concatenate([part.windowed for part in parts]),
            parts[0].pad_id,
        )


class MarkerTokenizer:
    """A fast tokenizer that inserts entity markers by position.

    Args:
        backend: The encoder's own tokenizer; its special tokens are not recognised in text.
        vocabulary_size: Rows of the encoder's embedding table; markers take the next four ids.
    """

    def __init__(self, backend: Tokenizer, vocabulary_size: int) -> None:
        backend.no_truncation()
        backend.no_padding()
        # Text that holds "[SEP]" is text, not a separator.
        backend.encode_special_tokens = True
        self._backend = backend
        self.vocabulary_size = vocabulary_size
        special = backend.encode("", add_special_tokens=True).ids
        if len(special) < 2:
            raise ConfigurationError("the encoder's tokenizer has no start and end tokens")
        self._start, self._end = special[:1], special[-1:]
        self.pad_id = next(
            (i for i in map(backend.token_to_id, _PAD_TOKENS) if i is not None), special[0]
        )

    @property
    def marker_ids(self) -> tuple[int, int, int, int]:
        """Ids of :data:`MARKERS`."""
        v = self.vocabulary_size
        return v, v + 1, v + 2, v + 3

    @property
    def backend(self) -> Tokenizer:
        """The encoder's own tokenizer."""
        return self._backend

    def save(self, path: Path) -> None:
        """Write the backend as ``tokenizer.json``."""
        self._backend.save(str(path))

    def encode(self, examples: Sequence[RelationExample], max_length: int) -> EncodedExamples:
        """Tokenise all examples in one call of the backend.

        An example longer than ``max_length`` keeps the window that holds both entities, with the
        remaining room shared between left and right context.

        Raises:
            DataError: The window that holds both entities is itself longer than ``max_length``.
        """
        e11, _, e21, _ = self.marker_ids
        ids: list[int] = []
        count = len(examples)
        offsets = np.zeros(count + 1, dtype=np.int64)
        head = np.zeros(count, dtype=np.int64)
        tail = np.zeros(count, dtype=np.int64)
        windowed = np.zeros(count, dtype=np.bool_)
        for row, (left, core, right) in enumerate(self._pieces(examples)):
            room = max_length - 2 - len(core)
            if room < 0:
                raise DataError(
                    f"row {examples[row].id or row}: head and tail are {len(core)} word pieces "
                    f"apart, the encoder reads {max_length - 2}; shorten the sentence"
                )
            if len(left) + len(right) > room:
                windowed[row] = True
                keep_left = min(len(left), max(room // 2, room - len(right)))
                left = left[len(left) - keep_left :]
                right = right[: room - keep_left]
            start = 1 + len(left)
            head[row] = start + core.index(e11)
            tail[row] = start + core.index(e21)
            ids += self._start + left + core + right + self._end
            offsets[row + 1] = len(ids)
        return EncodedExamples(
            np.asarray(ids, dtype=np.int64), offsets, head, tail, windowed, self.pad_id
        )

    def entity_window_lengths(self, examples: Sequence[RelationExample]) -> list[int]:
        """Word pieces needed to read both entities and all between them, ends included."""
        return [len(core) + 2 for _, core, _ in self._pieces(examples)]

    def _pieces(
        self, examples: Sequence[RelationExample]
    ) -> list[tuple[list[int], list[int], list[int]]]:
        segments: list[str] = []
        for e in examples:
            first, second = (e.head, e.tail) if e.head_first else (e.tail, e.head)
            segments += [
                e.text[: first.start],
                e.text[first.start : first.end],
                e.text[first.end : second.start],
                e.text[second.start : second.end],
                e.text[second.end :],
            ]
        encodings = self._backend.encode_batch_fast(segments, add_special_tokens=False)
        e11, e12, e21, e22 = self.marker_ids
        pieces = []
        for row, e in enumerate(examples):
            left, first_ids, middle, second_ids, right = (
                encodings[5 * row + k].ids for k in range(5)
            )
            a, b, c, d = (e11, e12, e21, e22) if e.head_first else (e21, e22, e11, e12)
            pieces.append((left, [a, *first_ids, b, *middle, c, *second_ids, d], right))
        return pieces


def load_tokenizer(encoder: str) -> MarkerTokenizer:
    """The tokenizer of an encoder (preset, folder or hub name).

    Raises:
        ConfigurationError: The encoder has no usable tokenizer.
    """
    import json

    folder = resolve_encoder(encoder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # A saved learner state keeps its markers in the embedding table; its config says how many
    # rows belong to the encoder's own vocabulary.
    size = config.get("cfcre_base_vocabulary", config["vocab_size"])
    return MarkerTokenizer(load_backend(folder), int(size))


def fits(
    tokenizer: MarkerTokenizer, examples: Sequence[RelationExample], max_length: int
) -> list[bool]:
    """Whether the window that holds both entities fits the encoder, for each example."""
    return [n <= max_length for n in tokenizer.entity_window_lengths(examples)]
