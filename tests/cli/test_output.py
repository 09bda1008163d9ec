"""Tables, numbers and the lines of a watcher."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cfcre.cli.output import number, printable, table
from cfcre.cli.progress import Reporter, task_lines
from cfcre.operations.events import Event
from cfcre.operations.ledger import BatchRecord
from cfcre.operations.local_run import RunResult

BATCH = BatchRecord(
    stream="news",
    batch_hash="ab" * 32,
    name="first",
    keys=("inbox/news/first.jsonl",),
    manifest_key=None,
    sequence=1,
    submitted_at="",
    state="promoted",
    placed="processed",
    task=2,
    attempt=1,
    failures=0,
    interruptions=0,
    next_attempt_at=None,
    settled_at=datetime(2026, 1, 1, tzinfo=UTC),
    reason=None,
    detail=None,
    model_version="7",
    verdict="promote",
    facts={"accuracy": [0.5, 1.0], "average_accuracy": 0.75, "forgetting": 0.25},
    seconds={"claim": 1.0, "train_task": 2.0},
)


class FakeLedger:
    def __init__(self, batch: BatchRecord) -> None:
        self._batch = batch
        self.recovered: list[str] = []

    def batch(self, batch: str, stream: str | None = None) -> BatchRecord:
        return self._batch

    def recover(self, stream: str) -> None:
        self.recovered.append(stream)


def test_a_table_is_aligned() -> None:
    lines = table(("name", "rows"), [("first", 5), ("b", 1200)]).split("\n")
    assert lines == ["name   rows", "-----  ----", "first     5", "b      1200"]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("a", "bc"), []).split("\n") == ["a  bc", "-  --"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.98765, "0.988"), (3, "3"), (None, "-"), (True, "-"), ("x", "-")]
)
def test_numbers(value: object, text: str) -> None:
    assert number(value) == text


def test_nothing_in_a_name_reaches_the_terminal_as_a_command() -> None:
    assert printable("a\x1b[31mred\nb\u202e") == "a\\x1b[31mred\\nb\\u202e"
    assert printable("中文 🙂 é") == "中文 🙂 é"


class TestTaskLines:
    def test_a_learned_task(self) -> None:
        first, second = task_lines(BATCH)
        assert first == "news: task 2 learned in 3 s; version 7 is the champion"
        assert "0.500 1.000" in second
        assert "forgetting 0.250" in second

    def test_a_held_task_says_why(self) -> None:
        held = replace(BATCH, state="held", facts={**BATCH.facts, "gate": "forgets too much"})
        assert "held back" in task_lines(held)[0]
        assert task_lines(held)[-1].endswith("forgets too much")

    @pytest.mark.parametrize("state", ["seen", "rejected", "failed"])
    def test_what_was_not_learned_says_why(self, state: str) -> None:
        batch = replace(BATCH, state=state, task=None, reason="too_few_rows", detail="only 3\x07")
        (line,) = task_lines(batch)
        assert "too_few_rows: only 3\\x07" in line


class TestReporter:
    events = (
        Event("claim", "start"),
        Event("claim", "end", {"seconds": 1.25, "has_task": True, "task": 2, "attempt": 3}),
        Event("train_task", "start"),
        Event("train_task", "progress", {"phase": "train_task", "done": 1, "total": 4}),
        Event("train_task", "progress", {"phase": "train_task", "done": 4, "total": 8}),
        Event("train_task", "end", {"seconds": 9.0, "steps": 8}),
        Event("evaluate", "error", {"message": "no\nmemory"}),
    )

    @pytest.mark.parametrize("bars", [False, True])
    def test_one_line_a_stage(self, bars: bool, capsys: pytest.CaptureFixture[str]) -> None:
        ledger = FakeLedger(BATCH)
        reporter = Reporter(ledger, bars=bars)  # type: ignore[arg-type]
        reporter.on_start("news", BATCH.batch_hash)
        for event in self.events:
            reporter.on_event(event)
        reporter.on_end("news", BATCH.batch_hash, RunResult(0, Path("run")))
        said = capsys.readouterr()
        lines = said.out.splitlines()
        assert lines[0] == "news: batch first"
        assert lines[1].split() == ["claim", "1.2", "s", "task", "2,", "attempt", "3"]
        assert lines[2].split() == ["train_task", "9.0", "s", "steps", "8"]
        assert lines[3].split() == ["evaluate", "failed:", "no\\nmemory"]
        assert lines[4:] == task_lines(BATCH)
        assert bool(said.err) == bars, "a bar is drawn on a terminal only"
        assert ledger.recovered == ["news"]

    def test_a_failed_run_names_its_log(self, capsys: pytest.CaptureFixture[str]) -> None:
        failed = replace(BATCH, state="failed", reason="task_failed", detail="x")
        reporter = Reporter(FakeLedger(failed), bars=False)  # type: ignore[arg-type]
        reporter.on_end("news", failed.batch_hash, RunResult(1, Path("runs/r1")))
        assert "runs/r1/log.txt" in capsys.readouterr().out
