"""The object store interface, the rule for keys, and the choice between folder and S3.

A key is a relative path with ``/``. Both back ends promise the same: a write is seen whole or not
at all, a listing is sorted and complete, a move or delete repeated after a crash succeeds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cfcre.config import Settings
from cfcre.errors import BatchRejected, ConfigurationError, DataError

__all__ = ["NAME", "ObjectInfo", "ObjectStore", "open_store", "safe_key", "too_large"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Names of streams and batches; to be used with ``fullmatch``. ``..`` cannot match."""

_LONGEST_KEY = 1024  # S3's own limit, in UTF-8 bytes


@dataclass(frozen=True, order=True)
class ObjectInfo:
    """One stored object.

    Attributes:
        key: Relative to the root of the store.
        size: Bytes.
        modified: When it was last written, UTC.
        etag: Changes when the content changes; not a content hash that can be relied on.
    """

    key: str
    size: int
    modified: datetime
    etag: str


class ObjectStore(Protocol):
    """Bytes under keys. Every method raises ``StoreUnavailable`` where a retry can help."""

    def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects whose key starts with ``prefix``, sorted by key, all pages."""
        ...

    def read(self, key: str, *, limit: int) -> bytes:
        """The whole object.

        Raises:
            NotFoundError: No such object.
            BatchRejected: ``object_too_large``, more than ``limit`` bytes.
        """
        ...

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object, atomically."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object with that key."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename. Source gone and target there is success: the move was finished earlier.

        Raises:
            NotFoundError: Neither source nor target exists.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is gone already."""
        ...


def safe_key(key: str) -> str:
    """Return ``key`` if it can not reach outside the place it is joined to.

    Raises:
        DataError: An absolute path, an empty part, ``.`` or ``..``, a backslash, a control
            character, a lone surrogate, or more than 1024 bytes.
    """
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise DataError(f"object key {key[:200]!r} is not valid Unicode") from None
    if not key or size > _LONGEST_KEY:
        raise DataError(f"object key of {size} bytes: a key has 1 to {_LONGEST_KEY} bytes")
    if "\\" in key or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in key):
        raise DataError(f"object key {key[:200]!r} holds a backslash or a control character")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise DataError(
            f"object key {key[:200]!r} is not a plain relative path: "
            "no leading or doubled '/', no '.' and no '..' parts"
        )
    return key


def too_large(key: str, size: int | None, limit: int) -> BatchRejected:
    """The rejection for an object over the limit; ``size`` is None where it is not known."""
    found = f"{size} bytes" if size is not None else "more bytes"
    return BatchRejected(
        "object_too_large",
        f"{key} has {found}; intake.max_object_bytes allows {limit}: split the file",
    )


def open_store(settings: Settings) -> ObjectStore:
    """Open the store that ``settings.store_url`` names.

    Raises:
        ConfigurationError: The URL is neither ``file:///dir``, a plain path, nor
            ``s3://bucket/prefix``.
    """
    url = settings.store_url
    parts = urlsplit(url)
    if parts.scheme == "s3":
        from cfcre.intake.s3 import S3Store  # boto3 takes half a second to import

        return S3Store.open(url, settings.store)
    from cfcre.intake.folder import FolderStore

    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FolderStore(Path(url2pathname(parts.path)))
    if not parts.scheme and url:
        return FolderStore(Path(url))
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # never user:password
    raise ConfigurationError(f"store {shown!r}: use file:///dir, a path, or s3://bucket/prefix")
