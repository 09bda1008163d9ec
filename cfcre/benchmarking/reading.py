"""Files of a benchmark's data: read with bounds, hashed, and refused in one clear line."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfcre.data.schema import RelationExample, example_from_tokens
from cfcre.errors import ConfigurationError, DataError

__all__ = [
    "MAX_BYTES",
    "Overlap",
    "find_file",
    "parse_json",
    "read_bytes",
    "read_json_file",
    "token_row",
]

#: Largest file, unpacked: ten times the largest of the public data sets.
MAX_BYTES = 1 << 30


class Overlap(DataError):
    """Head and tail of a row share a token."""


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of these files that the folder holds, plain or gzipped."""
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def read_bytes(path: Path) -> tuple[bytes, str]:
    """Content of a file, unpacked if its name ends in ``.gz``, and the SHA-256 of the file.

    Raises:
        ConfigurationError: It can not be read.
        DataError: It is larger than :data:`MAX_BYTES`, or damaged.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    if raw is None:
        raise DataError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB")
    digest = hashlib.sha256(raw).hexdigest()
    if path.suffix == ".gz":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                raw = stream.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path.name} is not a whole gzip file: {error}") from error
        if len(raw) > MAX_BYTES:
            raise DataError(f"{path.name} unpacks to more than {MAX_BYTES >> 20} MiB")
    return raw, digest


def parse_json(raw: bytes, name: str) -> Any:
    """Read one JSON document.

    Raises:
        DataError: It is none.
    """
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON: {error}") from error


def read_json_file(path: Path) -> tuple[Any, str]:
    """One JSON document, and the SHA-256 of its file."""
    raw, digest = read_bytes(path)
    return parse_json(raw, path.name), digest


def token_row(
    tokens: Any, head: Any, tail: Any, relation: str, where: str, id: str = ""
) -> RelationExample:
    """A row of tokens and token spans (ends exclusive) from outside.

    Args:
        tokens: A list of texts.
        head: Two whole numbers.
        tail: Two whole numbers.
        relation: Relation name.
        where: The row in an error message.
        id: Name of the row in its source.

    Raises:
        Overlap: Head and tail share a token.
        DataError: Something is not what it should be.
    """
    if not (isinstance(tokens, list) and tokens and all(isinstance(t, str) for t in tokens)):
        raise DataError(f"{where}: the tokens are not a list of texts")
    for name, span in (("head", head), ("tail", tail)):
        if not (
            isinstance(span, Sequence)
            and len(span) == 2
            and all(isinstance(n, int) and not isinstance(n, bool) for n in span)
        ):
            raise DataError(f"{where}: the {name} is not a span of tokens: {span!r}")
    if max(head[0], tail[0]) < min(head[1], tail[1]):
        raise Overlap(f"{where}: head {list(head)} and tail {list(tail)} overlap")
    try:
        return example_from_tokens(tokens, tuple(head), tuple(tail), relation, id=id)
    except IndexError as error:
        raise DataError(f"{where}: {error}") from error
