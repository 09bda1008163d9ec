"""Encoded examples over the embedding rows that a phase of a task can touch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from cfcre.data.tokenisation import EncodedExamples
from cfcre.modeling.encoder import RelationEncoder
from cfcre.modeling.vocabulary import rows_in_use

__all__ = ["compact_vocabulary"]


@contextmanager
def compact_vocabulary(
    encoder: RelationEncoder, encoded: EncodedExamples
) -> Iterator[EncodedExamples]:
    """Swap the embedding table for the rows that ``encoded`` uses; yields the mapped examples.

    See :mod:`cfcre.modeling.vocabulary` for what it saves and what it leaves the same.
    """
    with rows_in_use(encoder, encoded.ids, encoded.pad_id) as used:
        yield replace(encoded, ids=used.ids, pad_id=used.pad_id)
