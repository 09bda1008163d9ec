from __future__ import annotations

import pytest

from cfcre.errors import ConfigurationError, DataError, NotFoundError
from cfcre.intake.folder import FolderStore
from cfcre.intake.quarantine import (
    QuarantinedRow,
    list_quarantine,
    read_quarantine,
    write_quarantine,
)

ROWS = [
    QuarantinedRow(3, "f.jsonl:4", "invalid_json", "…", "{\u2028 <b>\0 \ud800"),
    QuarantinedRow(5, "f.jsonl:6", "duplicate", "x", {"text": "数据", "n": [1, None, True]}),
]
COUNTS = {"read": 9, "accepted": 7, "quarantined": 2}


def test_round_trip(folder: FolderStore) -> None:
    key = write_quarantine(folder, "s", "ab" * 32, ROWS, COUNTS, batch_name="b1")
    assert key == f"quarantine/s/{'ab' * 32}.jsonl"
    assert folder.read(key, limit=10**6).count(b"\n") == 2  # one line a row
    for which in ("b1", "ab" * 32, "abab"):
        entry, rows = read_quarantine(folder, which)
        assert rows == ROWS
        assert (entry.counts, entry.by_reason) == (COUNTS, {"invalid_json": 1, "duplicate": 1})
    assert list_quarantine(folder) == [entry]
    write_quarantine(folder, "s", "ab" * 32, ROWS[:1], COUNTS, batch_name="b1")
    assert read_quarantine(folder, "b1")[1] == ROWS[:1]


def test_which_batch(folder: FolderStore) -> None:
    write_quarantine(folder, "s", "ab" * 32, [], COUNTS, batch_name="b1")
    write_quarantine(folder, "t", "abab" + "cd" * 30, [], COUNTS, batch_name="b1")
    assert read_quarantine(folder, "ababc")[1] == []
    assert [e.stream for e in list_quarantine(folder, "t")] == ["t"]
    for which in ("b1", "abab"):
        with pytest.raises(ConfigurationError, match="2 batches"):
            read_quarantine(folder, which)
    for which in ("b2", "aba", "", "../x"):
        with pytest.raises(NotFoundError):
            read_quarantine(folder, which)


@pytest.mark.parametrize("name", ["{}.jsonl", "{}.summary.json"])
def test_damage_is_a_data_error(folder: FolderStore, name: str) -> None:
    write_quarantine(folder, "s", "ab" * 32, ROWS, COUNTS)
    folder.write(f"quarantine/s/{name.format('ab' * 32)}", b'{"x": 1}\n')
    with pytest.raises(DataError):
        read_quarantine(folder, "abab")
