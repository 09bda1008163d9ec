"""SIGKILL in every stage, of every process involved; then the stream is finished all the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from local_pipeline import STAGES, Home, component, descendants, kill, make_home, running

pytestmark = [pytest.mark.slow, pytest.mark.kill, pytest.mark.timeout(1500)]


class Blow(NamedTuple):
    """A SIGKILL: in which stage, to whom, and how many seconds after the stage's start."""

    stage: str
    victim: Literal["watcher", "component", "everything"]
    after: float = 0.2


# Blows while the first and while the second task is learned. A killed component lets its run go on
# to the exit handler, so that "settle" comes next. "register" is hit several times: what matters
# there is between which two of its steps the process dies.
FIRST = [
    Blow("claim", "watcher", 0.0),
    Blow("claim", "everything", 0.4),
    Blow("ingest", "component"),
    Blow("settle", "watcher", 0.0),
    Blow("validate", "everything"),
    Blow("augment", "component"),
    Blow("train_task", "watcher"),
    Blow("select_memory", "component"),
    Blow("register", "everything", 2.0),
]
SECOND = [
    Blow("claim", "component", 0.2),
    Blow("train_task", "component"),
    Blow("settle", "everything", 0.3),
    Blow("consolidate", "everything"),
    Blow("evaluate", "watcher"),
    Blow("register", "component", 0.0),
    Blow("register", "watcher", 3.0),
    Blow("settle", "component", 0.0),
]
# Some stages are over in a fifth of a second: they wait for their blow.
PAUSES = "claim=1,ingest=1,augment=1,select_memory=1,settle=1"


class Watcher:
    """``cfcre watch --until-idle``, started again whenever it is gone and work may be left."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process = home.start("watch", "--until-idle")

    def strike(self, blow: Blow) -> bool:
        """Kill when the stage starts; False when it was over before, or the whole stream."""
        seen = self.home.starts(blow.stage)
        if self.process.poll() is not None:
            self.process = self.home.start("watch", "--until-idle")
        while self.process.poll() is None:
            if self.home.starts(blow.stage) > seen:
                time.sleep(blow.after)
                return self._kill(blow.victim)
            time.sleep(0.02)
        return False

    def _kill(self, victim: str) -> bool:
        below = descendants(self.process.pid)
        if victim == "component":
            # The first is the launcher; it may have ended meanwhile.
            victims = [pid for launcher in below[:1] for pid in component(launcher)]
            for pid in victims:
                kill(pid)
            return bool(victims)
        for pid in [self.process.pid, *(below if victim == "everything" else [])]:
            kill(pid)
        self.process.wait(timeout=60)
        return True

    def finish(self) -> None:
        """Let it go on in peace to the end."""
        self.process.wait(timeout=500)
        self.home.run("watch", "--until-idle")


def test_a_stream_survives_kills_in_every_stage(
    tmp_path: Path, tiny_encoder: Path, learned_stream, record_property
) -> None:
    undisturbed = [t for t in learned_stream.home.tasks("news") if t["task"] is not None]
    home = make_home(tmp_path / "home", tiny_encoder)
    home.environment["CFCRE_TEST_PAUSE"] = PAUSES
    struck: list[Blow] = []
    for file, blows in zip(learned_stream.files, (FIRST, SECOND), strict=True):
        home.run("submit", str(file), "--stream", "news")
        watcher = Watcher(home)
        struck += [blow for blow in blows if watcher.strike(blow)]
        watcher.finish()

    record_property("kills", len(struck))
    print(f"kills made: {len(struck)}")
    assert {blow.stage for blow in struck} == set(STAGES)
    tasks = home.tasks("news")
    assert [t["task"] for t in tasks] == [1, 2], "no batch lost, none learned twice"
    for found, expected in zip(tasks, undisturbed, strict=True):
        assert found["batch"] == expected["batch"]
        assert found["state"] == expected["state"]
        assert found["accuracy"] == expected["accuracy"]
        assert found["rows"] == expected["rows"]
    versions = home.versions()
    assert [v["task"] for v in versions] == [1, 2], "no version registered twice"
    assert sorted(versions[1]["aliases"]) == ["challenger", "champion"]
    inbox = home.path / "store" / "inbox"
    assert not [p for p in inbox.rglob("*") if p.is_file()]


def test_a_component_without_its_launcher_ends_by_itself(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path]
) -> None:
    home = make_home(tmp_path / "home", tiny_encoder)
    home.environment["CFCRE_TEST_PAUSE"] = "augment=120"
    home.run("submit", str(batch_files[0]), "--stream", "s")
    watcher = home.start("watch", "--until-idle")
    home.wait_for("augment", 0)
    time.sleep(1.0)
    launcher, *below = descendants(watcher.pid)
    kill(watcher.pid)
    kill(launcher)
    watcher.wait(timeout=30)
    end = time.monotonic() + 20
    while time.monotonic() < end and running(below):
        time.sleep(0.1)
    assert running(below) == []
