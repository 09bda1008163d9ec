"""Digests of the files in a directory, and the versions of the libraries that wrote them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from cfcre import __version__
from cfcre.errors import StateError

__all__ = ["file_digests", "library_versions", "verify_digests"]

_PACKAGES = ("torch", "transformers", "tokenizers", "scikit-learn", "numpy", "safetensors")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path within it, sorted.

    Raises:
        StateError: A file can not be read.
    """
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name: _sha256(folder, name, folder.name) for name in names}


def verify_digests(folder: Path, digests: Mapping[str, str], what: str) -> None:
    """Check that every file is the one that was written.

    Args:
        folder: The directory.
        digests: What :func:`file_digests` gave.
        what: The directory in an error message, for example ``the learner state task-3``.

    Raises:
        StateError: A file is missing or changed, or a name leads out of the folder.
    """
    for name, digest in digests.items():
        if _sha256(folder, name, what) != digest:
            raise StateError(f"{what} is damaged: {name} does not match its digest")


def library_versions() -> dict[str, str]:
    """This package, Python, and the libraries that the numbers depend on."""
    return {
        "cfcre": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def _sha256(folder: Path, name: str, what: str) -> str:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise StateError(f"{what} names a file outside itself: {name!r}")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StateError(f"{what} lacks {name}") from error
