"""Recording, ordering, gaps, retry, skip, and what the database is told to refuse."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from cfcre.errors import (
    BatchRejected,
    ConfigurationError,
    LedgerUnavailable,
    NotFoundError,
)
from cfcre.operations.ledger import Claim, Ledger

Drop = Callable[..., str]
Take = Callable[..., Claim | None]
Learn = Callable[..., str]


def whys(ledger: Ledger) -> dict[str, str]:
    return {p["name"]: p["why"] for p in ledger.status()["streams"][0]["pending"]}


def test_the_same_content_is_one_batch(ledger: Ledger, learn: Learn) -> None:
    first = ledger.record_batch("s", "a" * 64, name="x", keys=["inbox/s/x"])
    again = ledger.record_batch("s", "a" * 64, name="x", keys=["inbox/s/x"], sequence=7)
    assert (first.new, again.new, again.duplicate) == (True, False, False)
    assert again.batch.sequence == 1
    # Under another name while it waits: still the one batch, to be left where it is.
    assert not ledger.record_batch("s", "a" * 64, name="y", keys=["inbox/s/y"]).duplicate
    learn("1")
    # Settled and not yet moved: the same keys are the batch itself, other keys a duplicate.
    assert not ledger.record_batch("s", "a" * 64, name="x", keys=["inbox/s/x"]).duplicate
    assert ledger.record_batch("s", "a" * 64, name="y", keys=["inbox/s/y"]).duplicate
    ledger.mark_placed(ledger.batch("a" * 64), "processed")
    assert ledger.record_batch("s", "a" * 64, name="x", keys=["inbox/s/x"]).duplicate
    assert len(ledger.status()["streams"][0]["tasks"]) == 1
    # The same content in another stream is another batch.
    assert ledger.record_batch("t", "a" * 64, name="x", keys=["inbox/t/x"]).new


def test_sequences_are_given_in_order_and_clashes_rejected(ledger: Ledger, drop: Drop) -> None:
    drop("a")
    drop("b", 5)
    drop("c")
    assert [ledger.batch(name).sequence for name in "abc"] == [1, 5, 6]
    with pytest.raises(BatchRejected) as clash:
        drop("d", 5)
    assert clash.value.reason == "sequence_conflict"
    assert "7" in clash.value.detail  # the number that is free
    with pytest.raises(BatchRejected, match="manifest_invalid"):
        drop("d", 0)
    with pytest.raises(NotFoundError):
        ledger.batch("d")


def test_a_gap_waits_and_is_shown(ledger: Ledger, drop: Drop, take: Take, learn: Learn) -> None:
    drop("c", 3)
    drop("a", 1)
    assert whys(ledger) == {"a": "next", "c": "waiting for sequence 1"}
    assert learn("1") == "promoted"
    assert whys(ledger) == {"c": "waiting for sequence 2"}
    assert take() is None
    activity = ledger.activity()[0]
    assert (activity.claimable, activity.live, activity.backoff_until) == (None, None, None)
    assert activity.waiting == 1
    drop("b", 2)
    claim = take()
    assert claim is not None and claim.batch_name == "b"
    assert "waiting for sequence 2" in whys(ledger)["c"]
    assert ledger.activity()[0].live is not None


def test_the_named_batch_never_jumps_the_queue(ledger: Ledger, drop: Drop, take: Take) -> None:
    first, second = drop("a"), drop("b")
    assert take(batch_hash=second) is None
    claim = take(batch_hash=first)
    assert claim is not None
    assert take(batch_hash=second) is None
    with pytest.raises(NotFoundError):
        take(batch_hash="f" * 64)


def test_rejected_batches_are_settled_for_the_order(ledger: Ledger, drop: Drop, take: Take) -> None:
    def reject(name: str, sequence: int | None) -> None:
        ledger.record_rejected(
            "s",
            name * 64,
            name=name,
            keys=[f"inbox/s/{name}"],
            reason="checksum_mismatch",
            detail="bad",
            sequence=sequence,
        )

    reject("x", 5)
    drop("y", 6)
    assert whys(ledger) == {"y": "waiting for sequence 1"}
    reject("a", 1)
    assert whys(ledger) == {"y": "waiting for sequence 2"}
    drop("b", 2)
    reject("c", 2)  # its number is taken: it gets none
    reject("d", None)
    drop("e")
    assert [ledger.batch(name).sequence for name in "abcde"] == [1, 2, None, None, 7]
    claim = take()
    assert claim is not None and (claim.batch_name, claim.task) == ("b", 1)
    tasks = ledger.status()["streams"][0]["tasks"]
    assert [(t["batch_name"], t["task"], t["state"]) for t in tasks] == [
        ("b", 1, "claimed"),
        ("x", None, "rejected"),
        ("a", None, "rejected"),
        ("c", None, "rejected"),
        ("d", None, "rejected"),
    ]
    assert tasks[2]["reason"] == "checksum_mismatch"
    # A running batch is not rejected from outside.
    reject("b", 2)
    assert ledger.batch("b").state == "claimed"


def test_retry_puts_a_failed_batch_first_and_skip_gives_it_up(
    ledger: Ledger, drop: Drop, take: Take, learn: Learn
) -> None:
    for name in "abc":
        drop(name)
    claim = take(max_attempts=1)
    assert claim is not None
    with pytest.raises(ConfigurationError, match="runs now"):
        ledger.retry("a")
    ledger.record_error(claim, "ingest", "no such object", False)
    assert ledger.settle(claim).state == "failed"
    assert learn("1") == "promoted"  # the stream goes on with b
    ledger.mark_placed(ledger.batch("a"), "failed")
    retried = ledger.retry("a")
    assert (retried.state, retried.failures, retried.sequence) == ("seen", 0, 1)
    # Its files lie in failed/ until the reconciler brings them back, and c waits for it.
    assert take() is None
    assert whys(ledger)["a"] == "waiting for its files to be moved back to the inbox"
    assert whys(ledger)["c"] == "waiting for sequence 1"
    ledger.mark_placed(ledger.batch("a"), "inbox")
    again = take(max_attempts=1)
    assert again is not None
    assert (again.batch_name, again.attempt, again.task, again.parent_version) == ("a", 2, 2, "1")
    ledger.record_error(again, "ingest", "no such object", False)
    ledger.settle(again)
    skipped = ledger.skip("a", reason="bad data")
    assert (skipped.state, skipped.reason, skipped.detail) == ("rejected", "skipped", "bad data")
    with pytest.raises(ConfigurationError, match="learned"):
        ledger.retry("b")
    with pytest.raises(ConfigurationError, match="learned"):
        ledger.skip("b")
    assert ledger.skip("c").state == "rejected"


def test_find_by_hash_prefix_and_name(ledger: Ledger, drop: Drop) -> None:
    digest = drop("a")
    drop("a", stream="t")
    assert ledger.batch(digest, "s").stream == "s"
    assert ledger.batch(digest[:6], "t").stream == "t"
    with pytest.raises(ConfigurationError, match="2 batches"):
        ledger.batch("a")
    with pytest.raises(NotFoundError):
        ledger.batch("aaaaaa%", "s")  # no wildcard
    with pytest.raises(NotFoundError):
        ledger.batch("aaa", "s")  # too short for a prefix


def test_odd_text_is_kept_readable(ledger: Ledger, take: Take) -> None:
    ledger.record_batch("s", "a" * 64, name="x\x00\ud800 שלום 😀", keys=["inbox/s/x"])
    claim = take()
    assert claim is not None
    ledger.advance(claim, "validated", relations=["a\x00b", "\udc00", "关系"])
    ledger.record_error(claim, "train", "bad \x00 text \ud800", True)
    ledger.settle(claim)
    record = ledger.batch("a" * 64)
    assert record.name == "x\\x00\\ud800 שלום 😀"
    assert record.facts["relations"] == ["a\\x00b", "\\udc00", "关系"]
    assert record.detail == "train: bad \\x00 text \\ud800"


@pytest.mark.parametrize(
    "change",
    [
        "state = 'learned'",
        "sequence = 2",
        "sequence = 0",
        "batch_hash = (SELECT batch_hash FROM cfcre_batches WHERE name = 'b')",
        "state = 'held'",
        "placed = 'nowhere'",
        "sequence = NULL",
    ],
)
def test_the_schema_itself_refuses(
    ledger: Ledger, ledger_url: str, drop: Drop, change: str
) -> None:
    drop("a")
    drop("b")
    engine = create_engine(ledger_url)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(f"UPDATE cfcre_batches SET {change} WHERE name = 'a'"))
    engine.dispose()


def test_the_schema_refuses_a_second_live_claim(
    ledger: Ledger, ledger_url: str, drop: Drop, take: Take
) -> None:
    drop("a")
    assert take() is not None
    engine = create_engine(ledger_url)
    columns = "stream, batch_id, attempt, task, run_name, owner, claimed_at, leased_until"
    columns += ", max_attempts, max_interruptions, retry_backoff_seconds"
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO cfcre_claims (token, {columns}) "
                f"SELECT token + 1, {columns} FROM cfcre_claims"
            )
        )
    engine.dispose()


def test_a_locked_database_is_unavailable_not_broken(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}", timeout_seconds=0.05)
    ledger.create()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        ledger.record_batch("s", "a" * 64, name="a", keys=[])
    assert ledger.status() == {"streams": []}  # reading goes on beside a writer
    other.execute("ROLLBACK")
    other.close()
    assert ledger.record_batch("s", "a" * 64, name="a", keys=[]).new


def test_wrong_urls_are_configuration_errors_without_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (
        "postgresql+nodriver://u:hunter2@h/d",
        "mysql://u:hunter2@h/d",
        "hunter2",
        "sqlite://",
        "postgresql://u:hunter2@h:port/d",
    ):
        with pytest.raises(ConfigurationError) as error:
            Ledger(url)
        assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigurationError, match="no tables"):
        Ledger(f"sqlite:///{tmp_path / 'empty.db'}").status()
    (tmp_path / "text.db").write_bytes(b"this is not a database, but long enough to look" * 50)
    with pytest.raises(ConfigurationError, match="not a SQLite database"):
        Ledger(f"sqlite:///{tmp_path / 'text.db'}").status()
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerUnavailable):
        Ledger(f"sqlite:///{tmp_path / 'folder'}").create()
    assert "hunter2" not in caplog.text


def test_the_ledger_uses_a_write_ahead_log(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'deep' / 'ledger.db'}")
    ledger.create()
    ledger.create()
    connection = sqlite3.connect(tmp_path / "deep" / "ledger.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
