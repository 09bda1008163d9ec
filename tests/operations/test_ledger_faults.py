"""What goes wrong between the ledger and Postgres: cuts, locks, limits, restarts, wrong access."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar

import pytest
from cut_proxy import CutProxy
from postgres_server import Databases, connect
from sqlalchemy import select, text
from sqlalchemy.engine import make_url

from cfcre.errors import LedgerUnavailable
from cfcre.operations.ledger import Ledger
from cfcre.operations.ledger.database import lock_stream
from cfcre.operations.ledger.tables import claims, streams
from cfcre.operations.owner import Owner, current_owner

pytestmark = pytest.mark.server

CLAIM: dict[str, Any] = {"lease_seconds": 600, "max_attempts": 3, "max_interruptions": 3}
Result = TypeVar("Result")


@pytest.fixture
def url(migrated_url: str) -> str:
    return migrated_url


@pytest.fixture
def direct(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def proxy(url: str) -> Iterator[CutProxy]:
    made = CutProxy(url)
    yield made
    made.close()


def record(ledger: Ledger, stream: str, names: str = "ab") -> None:
    for name in names:
        ledger.record_batch(stream, name * 64, name=name, keys=[name])


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stubborn(step: Callable[[], Result]) -> Result:
    """Try again after an error that says a retry can help, as every caller may."""
    for _ in range(5):
        with contextlib.suppress(LedgerUnavailable):
            return step()
    raise AssertionError("five tries and no answer")


def live(ledger: Ledger, stream: str, version: str) -> None:
    """What happens to a batch, from recording to settling."""
    owner = current_owner()
    stubborn(lambda: record(ledger, stream, "a"))
    claim = stubborn(lambda: ledger.claim(stream, owner=owner, run=f"run-{stream}", **CLAIM))
    assert claim is not None and claim.batch_name == "a"
    facts = {"model_version": version, "verdict": "promote"}
    stubborn(lambda: ledger.advance(claim, "evaluated", **facts))
    assert stubborn(lambda: ledger.promote_candidate(claim, reason="ok")) is not None
    outcome = stubborn(lambda: ledger.settle(claim))
    assert (outcome.ending, outcome.state) == ("learned", "promoted")


@pytest.mark.parametrize("answered", [False, True], ids=["request lost", "answer lost"])
def test_a_connection_cut_at_any_request_doubles_and_loses_nothing(
    direct: Ledger, proxy: CutProxy, answered: bool
) -> None:
    ledger = Ledger(proxy.url, timeout_seconds=5)
    ledger.schema()  # a first connection
    commits = 0
    for number in count(1):
        stream, version = f"s{number:03d}", f"v{number:03d}"
        proxy.cut_at(number, answered=answered)
        live(ledger, stream, version)
        if proxy.armed:
            break  # a whole life has fewer requests
        commits += proxy.requests[-1].endswith(b"COMMIT\0")
        # The database itself says what happened, without the code that did it.
        with direct._database.read() as connection:
            made = connection.execute(select(claims).where(claims.c.stream == stream)).all()
            token = connection.execute(select(streams.c.token).where(streams.c.name == stream))
            assert [(row.token, row.attempt, row.ending) for row in made] == [(1, 1, "learned")]
            assert token.scalar_one() == 1
        tasks = direct.status(stream)["streams"][0]
        assert [(t["batch_name"], t["model_version"]) for t in tasks["tasks"]] == [("a", version)]
        assert tasks["pending"] == []
    proxy.cut_at(0, answered=False)
    ledger.close()
    lives = number  # the last one was not disturbed
    assert lives > 25 and commits == 5
    moves = [(p.old_version, p.new_version) for p in direct.promotions()]
    versions = [f"v{i:03d}" for i in range(1, lives + 1)]
    assert moves == list(zip([None, *versions], versions, strict=False))


@pytest.mark.parametrize("answered", [False, True], ids=["request lost", "answer lost"])
def test_a_leader_cut_off_at_any_request_asks_again(
    direct: Ledger, proxy: CutProxy, answered: bool
) -> None:
    ledger = Ledger(proxy.url, timeout_seconds=5)
    for number in count(1):
        proxy.cut_at(number, answered=answered)
        assert stubborn(lambda name=str(number): ledger.acquire_leader(name, "me", 600))  # type: ignore[misc]
        assert not direct.acquire_leader(str(number), "other", 600)
        if proxy.armed:
            break
    assert number > 5
    ledger.close()


def test_a_lost_answer_without_a_run_is_a_claim_that_ends_by_its_lease(
    direct: Ledger, proxy: CutProxy
) -> None:
    record(direct, "s")
    ledger = Ledger(proxy.url)
    for number in count(1):
        proxy.cut_at(number, answered=True)
        with contextlib.suppress(LedgerUnavailable):
            ledger.claim("s", owner=Owner("elsewhere", "", 1, ""), **CLAIM | {"lease_seconds": 0.2})
        if direct.live_claim("s"):
            break
    time.sleep(0.25)
    claim = ledger.claim("s", owner=current_owner(), **CLAIM)
    assert claim is not None and (claim.token, claim.attempt) == (2, 2)
    ledger.close()


def test_a_claim_is_given_again_to_its_own_run_alone(direct: Ledger) -> None:
    record(direct, "s")
    first = direct.claim("s", owner=Owner("pod-1", "", 7, ""), run="run-1", **CLAIM)
    assert first is not None
    assert direct.claim("s", owner=current_owner(), run="run-2", **CLAIM) is None
    assert direct.claim("s", owner=current_owner(), **CLAIM) is None
    assert (
        direct.claim("s", owner=current_owner(), run="run-1", batch_hash="b" * 64, **CLAIM) is None
    )
    again = direct.claim("s", owner=current_owner(), run="run-1", **CLAIM)
    assert again == first
    held = direct.live_claim("s")
    assert held is not None and held.owner == current_owner().to_json()
    assert direct.batch("a" * 64).facts == {"pipeline_run": "run-1"}
    direct.advance(first, "validated")  # it works: whoever asks now is another
    assert direct.claim("s", owner=current_owner(), run="run-1", **CLAIM) is None


def test_a_session_ended_by_the_server_in_a_claim(direct: Ledger, url: str) -> None:
    record(direct, "s")
    ledger = Ledger(url)
    with ThreadPoolExecutor(1) as pool, connect(url) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM cfcre_streams FOR UPDATE")
        waiting = pool.submit(ledger.claim, "s", owner=current_owner(), **CLAIM)
        find = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with connect(url) as watcher:
            wait_until(lambda: len(watcher.execute(find).fetchall()) == 1)
            watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({find}) AS waiting")  # type: ignore[call-overload]
        with pytest.raises(LedgerUnavailable):
            waiting.result(30)
        other.execute("ROLLBACK")
    assert direct.live_claim("s") is None
    claim = ledger.claim("s", owner=current_owner(), **CLAIM)
    assert claim is not None and (claim.token, claim.attempt) == (1, 1)
    ledger.close()


def test_a_locked_stream_is_waited_for_and_then_given_up(direct: Ledger, url: str) -> None:
    record(direct, "s")
    hasty = Ledger(url, timeout_seconds=0.3)
    with connect(url) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM cfcre_streams FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            hasty.claim("s", owner=current_owner(), **CLAIM)
        assert hasty.status()["streams"][0]["name"] == "s"  # reading goes on beside a writer
        with ThreadPoolExecutor(1) as pool:
            patient = pool.submit(direct.claim, "s", owner=current_owner(), **CLAIM)
            time.sleep(0.1)
            other.execute("ROLLBACK")
            assert patient.result(30) is not None
    hasty.close()


def test_deadlocks_and_serialization_are_worth_a_retry(direct: Ledger) -> None:
    record(direct, "s")
    record(direct, "t")
    meet = threading.Barrier(2)

    def lock_both(first: str, second: str) -> str:
        try:
            with direct._database.write() as connection:
                lock_stream(connection, first)
                meet.wait(30)
                lock_stream(connection, second)
        except LedgerUnavailable as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(lock_both, *pair) for pair in (("s", "t"), ("t", "s"))]
        answers = sorted(end.result(30) for end in ends)
    assert answers[0] == "done" and "deadlock" in answers[1]
    with pytest.raises(LedgerUnavailable), direct._database.write() as connection:
        connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))


def test_slow_statements_and_idle_transactions_are_cut_off(direct: Ledger, url: str) -> None:
    record(direct, "s")
    hasty = Ledger(url, timeout_seconds=0.2)
    with (
        pytest.raises(LedgerUnavailable, match="statement timeout"),
        hasty._database.read() as connection,
    ):
        connection.execute(text("SELECT pg_sleep(30)"))
    with pytest.raises(LedgerUnavailable), hasty._database.write() as connection:
        lock_stream(connection, "s")
        # It holds the stream and does nothing: others must not wait for it for ever.
        assert direct.claim("s", owner=current_owner(), **CLAIM) is not None
        lock_stream(connection, "s")
    hasty.close()


def test_what_the_database_is_set_to_does_not_change_the_rules(url: str) -> None:
    name = make_url(url).database
    with connect(url) as other:
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "lock_timeout = 1",
            "statement_timeout = 100",
        ):
            other.execute(f'ALTER DATABASE "{name}" SET {setting}')  # type: ignore[call-overload]
    ledger = Ledger(url, timeout_seconds=7)
    with ledger._database.write() as connection:
        shown = [
            connection.execute(text(f"SHOW {setting}")).scalar_one()
            for setting in ("transaction_isolation", "lock_timeout", "application_name")
        ]
    assert shown == ["read committed", "7s", "cfcre"]
    ledger.close()


def test_a_thread_too_many_is_told_to_come_back(url: str) -> None:
    ledger = Ledger(url, timeout_seconds=0.3)
    # Those that idle so long are cut off by the server when they end: that is not looked at here.
    with (
        contextlib.suppress(LedgerUnavailable),
        contextlib.ExitStack() as held,
        pytest.raises(LedgerUnavailable, match="connections of this process"),
    ):
        for _ in range(100):
            held.enter_context(ledger._database.read())
    assert ledger.status() == {"streams": []}
    ledger.close()


@pytest.mark.kill
def test_the_ledger_outlives_a_crash_of_the_server(
    postgres: Databases, direct: Ledger, url: str
) -> None:
    if postgres.server is None:
        pytest.skip("the server was given by its address: it is not ours to stop")
    record(direct, "s")
    before = direct.status()
    postgres.server.stop(signal.SIGQUIT)
    try:
        with pytest.raises(LedgerUnavailable, match=r"refused|terminat|closed"):
            direct.claim("s", owner=current_owner(), **CLAIM)
    finally:
        postgres.server.start()
    assert direct.status() == before
    assert direct.claim("s", owner=current_owner(), **CLAIM) is not None
