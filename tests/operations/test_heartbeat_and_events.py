"""The pulse of a stage, and the events that a watcher reads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cfcre.errors import LeaseLost, LedgerUnavailable
from cfcre.operations.events import EVENTS_FILE, EventReader, EventWriter
from cfcre.operations.heartbeat import Heartbeat


class Leaving:
    """Stands for ``os._exit``."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.happened = threading.Event()

    def __call__(self, code: int) -> None:
        self.code = code
        self.happened.set()


def test_a_stage_ends_when_its_owner_is_gone() -> None:
    leave = Leaving()
    alive = iter([True, True, False])
    with Heartbeat(
        renew=lambda: None,
        owner_alive=lambda: next(alive, False),
        lease_seconds=60,
        poll_seconds=0.01,
        leave=leave,
    ):
        assert leave.happened.wait(5)
    assert leave.code == 75


def test_a_stage_ends_when_its_lease_is_lost() -> None:
    leave = Leaving()

    def renew() -> None:
        raise LeaseLost("taken over")

    with Heartbeat(
        renew=renew, owner_alive=lambda: True, lease_seconds=0.06, poll_seconds=1, leave=leave
    ):
        assert leave.happened.wait(5)
    assert leave.code == 73


def test_a_database_away_for_a_moment_ends_nothing() -> None:
    leave, renewed = Leaving(), threading.Event()
    answers = iter([LedgerUnavailable("away"), LedgerUnavailable("away"), None])

    def renew() -> None:
        answer = next(answers, None)
        if answer is not None:
            raise answer
        renewed.set()

    with Heartbeat(
        renew=renew, owner_alive=lambda: True, lease_seconds=0.06, poll_seconds=1, leave=leave
    ):
        assert renewed.wait(5)
    assert leave.code is None


def test_the_lease_is_renewed_in_time() -> None:
    calls: list[float] = []
    enough = threading.Event()

    def renew() -> None:
        calls.append(1)
        if len(calls) == 3:
            enough.set()

    with Heartbeat(renew=renew, owner_alive=lambda: True, lease_seconds=0.15, leave=Leaving()):
        assert enough.wait(5)
    after = len(calls)
    assert not threading.Event().wait(0.2)
    assert len(calls) == after, "the pulse stops with the stage"


def test_events_are_read_once_and_whole(tmp_path: Path) -> None:
    writer, reader = EventWriter(tmp_path, interval=0), EventReader(tmp_path)
    assert list(reader.read()) == []
    writer.write("ingest", "start")
    writer.write("ingest", "progress", done=1, total=2)
    assert [(e.stage, e.kind) for e in reader.read()] == [
        ("ingest", "start"),
        ("ingest", "progress"),
    ]
    with (tmp_path / EVENTS_FILE).open("ab") as stream:
        stream.write(b'{"stage": "ingest", "ki')
        stream.flush()
        assert list(reader.read()) == []
        stream.write('nd": "end", "facts": {"text": "é\u2028"}}\n'.encode())
    (event,) = reader.read()
    assert event.facts["text"] == "é\u2028"
    assert list(reader.read()) == []


def test_progress_is_thinned_out(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, interval=60)
    for done in range(1000):
        writer.write("train_task", "progress", done=done, total=1000)
    writer.write("train_task", "end")
    kinds = [event.kind for event in EventReader(tmp_path).read()]
    assert kinds == ["progress", "end"]


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CFCRE_RUN_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    EventWriter.from_environment().write("ingest", "start")
    assert list(tmp_path.iterdir()) == []
