"""The embedded MLflow store exists whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cfcre.config import load_settings
from cfcre.operations.tracking_store import open_tracker

OPEN = """
import sys
from cfcre.config import load_settings
from cfcre.operations.tracking_store import open_tracker
print(open_tracker(load_settings(home=sys.argv[1], environ={})).versions())
"""


def test_a_new_home_has_no_version(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, environ={})
    tracker = open_tracker(settings)
    assert tracker.versions() == []
    assert (tmp_path / "mlflow.db").is_file()
    assert not list(tmp_path.glob(".mlflow*"))
    run = tracker.open_run("r")
    # The store was made under another name; its artifacts belong to the home all the same.
    artifacts = MlflowClient(settings.tracking_uri).get_run(run).info.artifact_uri
    assert artifacts.startswith((tmp_path / "mlartifacts").as_uri())


@pytest.mark.slow
@pytest.mark.kill
def test_killing_its_creation_leaves_nothing_that_stands_in_the_way(tmp_path: Path) -> None:
    kills = 0
    for step in range(6):
        if (tmp_path / "mlflow.db").exists():
            break
        process = subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seen = len(list(tmp_path.glob(".mlflow*.partial")))
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            if len(list(tmp_path.glob(".mlflow*.partial"))) > seen:
                # The migrations have begun; they take seconds.
                time.sleep(0.15 * step)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait(timeout=120)
    assert kills >= 2
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path)], capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=300)
        assert (process.returncode, out.strip()) == (0, "[]")
    assert [p.name for p in tmp_path.glob("*.db")] == ["mlflow.db"]
