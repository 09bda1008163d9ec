"""One stream learned without a disturbance, shared by the tests that look at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from local_pipeline import Home, home_at, make_home, write_batch

BAD_ROWS = [
    {"text": "ada wrote orion", "head": [0, 3], "tail": [10, 99], "relation": "owns"},
    {"text": "ada wrote orion", "head": [0, 3], "relation": "owns"},
    {"text": 7, "head": [0, 3], "tail": [10, 15], "relation": "owns"},
]


@dataclass(frozen=True)
class Stream:
    """A learned stream: its home, and the batch files it was made from."""

    home: Home
    files: list[Path]


@pytest.fixture(scope="session")
def batch_files(
    tmp_path_factory: pytest.TempPathFactory, relation_rows: Callable[..., list[Any]]
) -> list[Path]:
    folder = tmp_path_factory.mktemp("batches")
    first = relation_rows(["founded", "born in"], 30, seed=1)
    second = relation_rows(["owns", "wrote"], 30, seed=2)
    return [
        write_batch(folder / "first.jsonl", first),
        write_batch(folder / "second.jsonl", second, BAD_ROWS),
    ]


@pytest.fixture(scope="session")
def learned_stream(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, batch_files: list[Path]
) -> Stream:
    """Two tasks and a batch that is rejected between them; one for all processes of a test run."""
    together = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if together else base) / "learned-stream"
    files = [folder / file.name for file in batch_files]
    with FileLock(f"{folder}.lock"):
        if not (folder / "learned").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for file in batch_files:
                shutil.copy(file, folder)
            _learn(make_home(folder / "home", tiny_encoder), files)
            (folder / "learned").touch()
    return Stream(home_at(folder / "home"), files)


def _learn(home: Home, files: list[Path]) -> None:
    few = home.path / "few.jsonl"
    few.write_bytes(b"\n".join(files[0].read_bytes().split(b"\n")[:5]) + b"\n")
    home.run("submit", str(files[0]), "--stream", "news")
    home.run("submit", str(few), "--stream", "news")
    home.run("submit", str(files[1]), "--stream", "news")
    home.run("watch", "--until-idle")
