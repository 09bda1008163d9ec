from __future__ import annotations

import gzip
import io
import os

import pytest

from cfcre.errors import BatchRejected
from cfcre.intake.compression import decompress


def unpack(
    data: bytes, name: str = "f.jsonl.gz", max_bytes: int = 10**8, ratio: float = 200
) -> bytes:
    return decompress(data, name, max_bytes=max_bytes, max_ratio=ratio)


def reason(data: bytes, **options: object) -> str:
    with pytest.raises(BatchRejected) as caught:
        unpack(data, **options)  # type: ignore[arg-type]
    return caught.value.reason


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_001])
def test_round_trip(size: int) -> None:
    data = os.urandom(size)
    assert unpack(gzip.compress(data)) == data


def test_several_members_and_padding() -> None:
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0" * 512
    assert unpack(packed) == b"one\ntwo\n"
    assert gzip.GzipFile(fileobj=io.BytesIO(packed)).read() == b"one\ntwo\n"  # the oracle agrees


def test_plain_content_is_returned_and_bounded() -> None:
    assert unpack(b"plain", name="f.jsonl") == b"plain"
    assert reason(b"plain", name="f.jsonl", max_bytes=4) == "decompressed_too_large"


def test_gzip_without_the_extension_is_recognised() -> None:
    assert unpack(gzip.compress(b"x"), name="f.jsonl") == b"x"


def test_every_truncation_is_noticed() -> None:
    packed = gzip.compress(os.urandom(3000))
    for end in range(2, len(packed)):
        assert reason(packed[:end]) == "truncated_gzip", end


def test_truncated_second_member() -> None:
    packed = gzip.compress(b"one") + gzip.compress(b"two")
    assert reason(packed[:-3]) == "truncated_gzip"


def test_flipped_bits_are_noticed() -> None:
    packed = bytearray(gzip.compress(b"some content that is long enough" * 20))
    packed[-6] ^= 1  # in the checksum
    assert reason(bytes(packed)) == "unreadable_file"


def test_stray_bytes_and_wrong_name() -> None:
    assert reason(gzip.compress(b"x") + b"garbage") == "unreadable_file"
    assert reason(b"not gzip", name="f.gz") == "unreadable_file"


def test_bomb_by_ratio_and_by_size() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert reason(bomb, max_bytes=10**9) == "decompression_ratio"
    assert reason(bomb, max_bytes=10**6, ratio=10**6) == "decompressed_too_large"


def test_bomb_of_many_members() -> None:
    bomb = gzip.compress(b"\0" * 1_000_000) * 40
    assert reason(bomb, max_bytes=10**9) == "decompression_ratio"


def test_the_size_bound_is_exact() -> None:
    packed = gzip.compress(os.urandom(1000))
    assert len(unpack(packed, max_bytes=1000)) == 1000
    assert reason(packed, max_bytes=999) == "decompressed_too_large"
