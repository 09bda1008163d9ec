"""The object store over a folder.

Keys become paths below the root. Links are followed only while they stay inside the root, so a
link planted in the inbox can not make the store read or write anything else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cfcre.data.files import write_bytes
from cfcre.errors import DataError, NotFoundError, StoreUnavailable
from cfcre.intake.store import ObjectInfo, safe_key, too_large

__all__ = ["FolderStore"]

_NO_SUCH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


@contextmanager
def _os_errors(action: str, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SUCH:
            raise NotFoundError(f"no object {key!r} in the store") from error
        # strerror only: the path of the store's root is nobody's business in a report.
        raise StoreUnavailable(f"cannot {action} {key!r}: {error.strerror or error}") from error


class FolderStore:
    """An object store in a folder; see :class:`cfcre.intake.store.ObjectStore`.

    Args:
        root: The folder; created on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects below ``prefix``; this store's own unfinished files are left out."""
        folder = prefix.rpartition("/")[0]
        start = self._path(folder, follow=True) if folder else self.root
        found = []
        with _os_errors("list", prefix):
            for directory, _, names in os.walk(start, onerror=_raise_unless_gone):
                for name in names:
                    path = Path(directory, name)
                    key = path.relative_to(self.root).as_posix()
                    if not key.startswith(prefix) or _unfinished(name):
                        continue
                    info = _info(key, path)
                    if info is not None:
                        found.append(info)
        return sorted(found)

    def read(self, key: str, *, limit: int) -> bytes:
        """The whole object, at most ``limit`` bytes."""
        path = self._path(key, follow=True)
        with _os_errors("read", key), path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise too_large(key, size, limit)
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise too_large(key, None, limit)
        return data

    def write(self, key: str, data: bytes) -> None:
        """Write to a temporary file beside the target, flush, rename."""
        path = self._path(key, follow=False)
        try:
            write_bytes(path, data)
        except FileNotFoundError:
            # A mover may tidy an empty folder away between our mkdir and our open: once more.
            with _os_errors("write", key):
                write_bytes(path, data)
        except OSError as error:
            raise StoreUnavailable(f"cannot write {key!r}: {error.strerror or error}") from error

    def exists(self, key: str) -> bool:
        """Whether there is a file with that key."""
        return self._path(key, follow=True).is_file()

    def move(self, source: str, target: str) -> None:
        """Rename, and tidy away the batch folder that became empty."""
        old, new = self._path(source, follow=False), self._path(target, follow=False)
        with _os_errors("move", source):
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                old.replace(new)
            except FileNotFoundError:
                if not new.exists():
                    raise
                return
        self._tidy(old.parent)

    def delete(self, key: str) -> None:
        """Remove a file; no error if it is gone."""
        path = self._path(key, follow=False)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in _NO_SUCH:
                raise StoreUnavailable(f"cannot delete {key!r}: {error.strerror}") from error
        self._tidy(path.parent)

    def _path(self, key: str, *, follow: bool) -> Path:
        path = self.root / safe_key(key)
        # Moving or deleting a link acts on the link itself, so there only its parents must stay
        # inside; that lets a bad link be moved aside.
        resolved = (path if follow else path.parent).resolve()
        if not resolved.is_relative_to(self.root.resolve()):
            raise DataError(f"object {key!r} is a link that leaves the store; copy the file")
        return path

    def _tidy(self, folder: Path) -> None:
        # inbox/<stream> itself stays: people drop files there.
        while folder.is_relative_to(self.root) and len(folder.relative_to(self.root).parts) > 2:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or another process was faster: nothing to tidy
            folder = folder.parent


def _raise_unless_gone(error: OSError) -> None:
    if error.errno not in _NO_SUCH:
        raise error


def _unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".partial")


def _info(key: str, path: Path) -> ObjectInfo | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        try:
            status = path.lstat()  # a dangling link is still something that lies in the inbox
        except FileNotFoundError:
            return None  # moved away while the folder was being walked
    if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        etag = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
        return ObjectInfo(key, status.st_size, modified, etag)
    return None
