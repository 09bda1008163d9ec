"""Settings of quick training, rows of two tasks, and streams learned by one and more processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_cases import quick_settings

from cfcre.data.files import write_examples

WORKER = Path(__file__).with_name("stream_worker.py")
TASKS = (["founded", "born in"], ["owns", "wrote"])


@pytest.fixture(scope="session")
def task_rows(relation_rows: Callable[..., list[Any]]) -> list[list[Any]]:
    """Rows of two tasks; 23 a relation, so that the last batch of an epoch is a small one."""
    return [relation_rows(relations, 23, k) for k, relations in enumerate(TASKS, start=1)]


@pytest.fixture(scope="session")
def learn_with(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, task_rows: list[list[Any]]
) -> Callable[[int], Path]:
    """Function ``(processes) -> folder`` with the states of both methods; learned once each."""
    learned: dict[int, Path] = {}

    def learn(processes: int) -> Path:
        if processes in learned:
            return learned[processes]
        folder = tmp_path_factory.mktemp(f"by-{processes}")
        settings = quick_settings(folder, tiny_encoder)
        (folder / "settings.json").write_text(json.dumps(settings.portable()))
        for number, rows in enumerate(task_rows, start=1):
            write_examples(folder / f"{number}.jsonl", rows)
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc-per-node", str(processes)]
        done = subprocess.run(
            [*command, str(WORKER), str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=550,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        learned[processes] = folder
        return folder

    return learn
