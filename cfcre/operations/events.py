"""What a running task tells the person who watches: one JSON line an event, in the run's folder.

The ledger is the truth; events are only for the eye. They go through a file because the stages are
processes whose output kfp captures, and because a watcher that is killed must not take them along.
On a cluster no folder is set and nothing is written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["EVENTS_FILE", "RUN_DIR_VARIABLE", "Event", "EventReader", "EventWriter", "Kind"]

RUN_DIR_VARIABLE = "CFCRE_RUN_DIR"
EVENTS_FILE = "events.jsonl"

Kind = Literal["start", "progress", "end", "error"]


@dataclass(frozen=True)
class Event:
    """One thing that happened in a stage.

    Attributes:
        stage: Name of the stage.
        kind: ``start``, ``progress``, ``end`` or ``error``.
        facts: ``done`` and ``total`` for progress, ``seconds`` for an end, ``message`` for an
            error, and what the stage has to say for a person.
    """

    stage: str
    kind: Kind
    facts: Mapping[str, Any] = field(default_factory=dict)


class EventWriter:
    """Appends events; does nothing without a folder.

    Args:
        run_dir: Folder of the run; None for no events.
        interval: Least seconds between two progress events.
    """

    def __init__(self, run_dir: Path | None, *, interval: float = 0.2) -> None:
        self._path = run_dir / EVENTS_FILE if run_dir else None
        self._interval = interval
        self._last = 0.0

    @classmethod
    def from_environment(cls) -> EventWriter:
        """A writer for the folder that the launcher named."""
        folder = os.environ.get(RUN_DIR_VARIABLE)
        return cls(Path(folder) if folder else None)

    def write(self, stage: str, kind: Kind, **facts: Any) -> None:
        """Append one event; progress is thinned out."""
        if self._path is None:
            return
        now = time.monotonic()
        if kind == "progress":
            if now - self._last < self._interval:
                return
            self._last = now
        line = json.dumps({"stage": stage, "kind": kind, "facts": facts}, ensure_ascii=False)
        # One write of one line to a file opened for appending: lines of two writers do not mix.
        with self._path.open("ab", buffering=0) as stream:
            stream.write(line.encode("utf-8", "replace") + b"\n")


class EventReader:
    """Reads what was appended since the last look.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / EVENTS_FILE
        self._position = 0

    def read(self) -> Iterator[Event]:
        """Yield new whole events; a line still being written waits for the next look."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                data = stream.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        self._position += whole
        for line in data[:whole].split(b"\n"):
            if line:
                item = json.loads(line)
                yield Event(item["stage"], item["kind"], item["facts"])
