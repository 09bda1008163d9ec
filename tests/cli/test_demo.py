"""``cfcre demo`` from start to end; with the tiny encoder, since only its steps are looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cfcre.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_demo_shows_the_whole_job(tmp_path: Path, tiny_encoder: Path, capfd) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "encoder": {"name": str(tiny_encoder), "max_length": 256},
        "method": {"learning_rate": 2e-3, "projection_hidden": 32, "projection_size": 16},
        "compute": {"precision": "float32", "threads": 1},
        "gate": {
            "min_new_task_accuracy": 0,
            "max_mean_forgetting": 1,
            "max_relation_drop": 1,
            "max_negative_flip_rate": 1,
        },
    }
    (home / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert main(["demo", "--home", str(home)]) == 0
    out = capfd.readouterr().out
    for task in (1, 2, 3):
        assert f"demo: task {task} learned" in out
    matrix = out.split("accuracy on the held-out rows of each task")[1].split("\n\n")[0]
    rows = [line.split() for line in matrix.splitlines()[3:]]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [row.count("-") for row in rows] == [2, 1, 0]
    read, accepted, quarantined = map(
        int, re.search(r"read (\d+) = accepted (\d+) \+ quarantined (\d+)", out).groups()
    )
    assert read == accepted + quarantined
    assert quarantined == 8
    assert re.search(r"^\s*3\s+challenger, champion\s", out, flags=re.MULTILINE)
    report = Path(re.search(r"report of the last task: (.*)", out)[1])
    assert "data:image/png" in report.read_text(encoding="utf-8")
    assert "cfcre ui" in out
    assert re.search(r"version 3 \(the champion\) reads .*\n  Wanda Orsini → Calverton: ", out)
