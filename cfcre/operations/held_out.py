"""Accepted rows in the object store: what later tasks are validated against and evaluated on.

``tasks/<stream>/<batch hash>/{train,validation,test}.jsonl`` holds a batch's accepted rows in
canonical form. A rerun of the same batch writes the same bytes, so writing is always safe.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from cfcre.config import Settings
from cfcre.data.schema import SPLITS, RelationExample, Split
from cfcre.errors import BatchRejected, DataError
from cfcre.intake.store import ObjectStore

__all__ = [
    "by_split",
    "input_keys",
    "read_split",
    "require_test_rows",
    "split_key",
    "write_splits",
]


def split_key(stream: str, batch_hash: str, split: Split) -> str:
    """Key of one split of a batch."""
    return f"tasks/{stream}/{batch_hash}/{split}.jsonl"


def by_split(examples: Iterable[RelationExample], split: Split) -> list[RelationExample]:
    """The examples of a split, in order."""
    return [e for e in examples if e.split == split]


def require_test_rows(examples: Iterable[RelationExample]) -> None:
    """Refuse a batch that could be learned but never judged.

    Raises:
        BatchRejected: ``too_few_rows``: no accepted row is in the test split.
    """
    if not by_split(examples, "test"):
        raise BatchRejected(
            "too_few_rows",
            "no accepted row is in the test split, so the task could not be judged; add rows, or "
            "submit some as FILE@test",
        )


def write_splits(
    store: ObjectStore, stream: str, batch_hash: str, examples: Sequence[RelationExample]
) -> None:
    """Write the accepted rows of a batch.

    Raises:
        StoreUnavailable: The store did not answer.
    """
    for split in SPLITS:
        lines = [json.dumps(e.to_json(), ensure_ascii=False) for e in by_split(examples, split)]
        data = "".join(line + "\n" for line in lines).encode("utf-8")
        store.write(split_key(stream, batch_hash, split), data)


def read_split(
    store: ObjectStore, stream: str, batch_hash: str, split: Split, settings: Settings
) -> list[RelationExample]:
    """Read what :func:`write_splits` wrote.

    Raises:
        NotFoundError: The batch has no accepted rows in this store.
        DataError: The object is damaged.
    """
    key = split_key(stream, batch_hash, split)
    data = store.read(key, limit=settings.intake.max_decompressed_bytes)
    try:
        lines = data.decode("utf-8").split("\n")
        return [RelationExample.from_json(json.loads(line)) for line in lines if line]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{key} is damaged ({error!r}); restore it from a backup of the object store"
        ) from error


def input_keys(
    store: ObjectStore,
    stream: str,
    batches: Iterable[str],
    splits: Sequence[Split],
    settings: Settings,
) -> set[str]:
    """What a model saw in these splits of these batches: the ``input_key`` of each row."""
    return {
        example.input_key
        for batch in batches
        for split in splits
        for example in read_split(store, stream, batch, split, settings)
    }
