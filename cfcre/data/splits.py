"""Train, validation and test by a hash of the row's content.

The split of a row depends on the row alone, never on its order or on other rows: the same row
lands in the same split in every batch, on every machine, so a test row can not become a training
row when a batch is dropped again with more data.
"""

from __future__ import annotations

import hashlib

from cfcre.data.schema import SPLITS, RelationExample, Split

__all__ = ["assign_split", "split_of"]


def assign_split(
    example: RelationExample, ratio: tuple[int, int, int] = (3, 1, 1)
) -> RelationExample:
    """Keep a declared split; otherwise draw one from the hash of sentence, spans and relation.

    Args:
        example: The row.
        ratio: train : validation : test.
    """
    if example.split is not None:
        return example
    return example.with_split(split_of(example.content_key, ratio))


def split_of(key: str, ratio: tuple[int, int, int] = (3, 1, 1)) -> Split:
    """Draw a split from a key, always the same one.

    Args:
        key: ASCII text that stands for the content.
        ratio: train : validation : test.
    """
    digest = hashlib.sha256(b"split:" + key.encode("ascii")).digest()
    position = int.from_bytes(digest[:8], "big") % sum(ratio)
    for split, share in zip(SPLITS, ratio, strict=True):
        if position < share:
            return split
        position -= share
    raise AssertionError("the shares cover every position")
