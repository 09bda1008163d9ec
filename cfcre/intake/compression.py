"""Gzip with bounds: a batch may not fill the memory of the machine that reads it."""

from __future__ import annotations

import zlib

from cfcre.errors import BatchRejected

__all__ = ["GZIP_MAGIC", "decompress"]

GZIP_MAGIC = b"\x1f\x8b"
_STEP = 1 << 20
_SMALL = 1 << 16  # below this no ratio is dangerous, and tiny repetitive files reach high ones


def decompress(data: bytes, name: str, *, max_bytes: int, max_ratio: float) -> bytes:
    """Undo gzip where there is gzip; other content is returned as it is.

    Gzip is recognised by its first two bytes, whatever the file is called; several members one
    after another, as ``cat a.gz b.gz`` makes them, are read as one.

    Args:
        data: The stored bytes.
        name: File name, for messages.
        max_bytes: Largest result.
        max_ratio: Largest ratio of result to stored bytes.

    Raises:
        BatchRejected: ``truncated_gzip``, ``decompressed_too_large``, ``decompression_ratio``, or
            ``unreadable_file`` where the stream is damaged or is not gzip despite the name.
    """
    if not data.startswith(GZIP_MAGIC):
        if name.lower().endswith(".gz"):
            raise BatchRejected("unreadable_file", f"{name} ends with .gz but is not gzip")
        if len(data) > max_bytes:
            raise _too_large(name, max_bytes)
        return data
    most_by_ratio = max(int(max_ratio * len(data)), _SMALL)
    parts: list[bytes] = []
    total = 0
    rest = data
    while rest.startswith(GZIP_MAGIC):
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            try:
                part = stream.decompress(rest, _STEP)
            except zlib.error as error:
                raise BatchRejected("unreadable_file", f"{name}: damaged gzip ({error})") from error
            total += len(part)
            if total > max_bytes:
                raise _too_large(name, max_bytes)
            if total > most_by_ratio:
                raise BatchRejected(
                    "decompression_ratio",
                    f"{name}: {len(data)} bytes grow more than {max_ratio:g} times; "
                    "intake.max_decompression_ratio bounds it",
                )
            parts.append(part)
            rest = stream.unconsumed_tail
            if not rest and not part and not stream.eof:
                raise BatchRejected(
                    "truncated_gzip", f"{name}: the gzip stream ends early; upload the file again"
                )
        rest = stream.unused_data.lstrip(b"\0")  # zero padding after a member is allowed
    if rest:
        raise BatchRejected("unreadable_file", f"{name}: {len(rest)} stray bytes after the gzip")
    return b"".join(parts)


def _too_large(name: str, limit: int) -> BatchRejected:
    return BatchRejected(
        "decompressed_too_large",
        f"{name} is larger than {limit} bytes when unpacked (intake.max_decompressed_bytes)",
    )
