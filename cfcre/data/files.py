"""Files written whole or not at all: write to a temporary name, flush to disk, then rename."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cfcre.data.schema import RelationExample
from cfcre.errors import DataError

__all__ = [
    "atomic_directory",
    "read_examples",
    "read_json",
    "write_bytes",
    "write_examples",
    "write_json",
]


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _temporary(path)
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically. NaN and infinity are refused: they are not JSON."""
    text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8"))


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error


def write_examples(path: Path, examples: Iterable[RelationExample]) -> int:
    """Write examples as canonical JSON Lines, atomically; returns the row count."""
    lines = [json.dumps(e.to_json(), ensure_ascii=False) for e in examples]
    write_bytes(path, "".join(line + "\n" for line in lines).encode("utf-8"))
    return len(lines)


def read_examples(path: Path) -> list[RelationExample]:
    """Read what :func:`write_examples` wrote.

    Raises:
        DataError: The file is missing or a line is not a canonical row.
    """
    try:
        # Not splitlines(): it also breaks at U+2028 and other separators that a text may hold.
        lines = path.read_bytes().decode("utf-8").split("\n")
        return [RelationExample.from_json(json.loads(line)) for line in lines if line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read the examples in {path.name}: {error!r}") from error


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes ``path`` when the block ends without an error.

    An existing directory at ``path`` is replaced only after the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _temporary(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            old = _temporary(path)
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
