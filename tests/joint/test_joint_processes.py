"""The real thing: ``cfcre watch``, Kubeflow's local runner, a process a stage, and a SIGKILL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joint_cases import STAGES, bad_documents, joint_home, make_documents, write_documents
from local_pipeline import descendants, kill

pytestmark = [pytest.mark.slow, pytest.mark.kill, pytest.mark.timeout(1500)]
STREAM = "news.documents"


def test_a_kill_in_training_costs_an_attempt_and_makes_no_second_version(
    tmp_path: Path, tiny_encoder: Path, relation_rows
) -> None:
    home = joint_home(tmp_path / "home", tiny_encoder)
    good = make_documents(relation_rows, ["founded", "born in"], 25, 1)
    bad = bad_documents()
    file = write_documents(tmp_path / "docs.json", [*good, *bad.values()])
    said = home.run("submit", str(file), "--stream", STREAM, "--format", "spert").stdout
    assert f"{len(good) + len(bad)} rows" in said
    # A stream is watched together with its stream of documents.
    home.environment["CFCRE_TEST_PAUSE"] = "train_spans=300"
    watcher = home.start("watch", "--stream", "news", "--until-idle")
    home.wait_for("train_spans", 0, seconds=600)
    for pid in [watcher.pid, *descendants(watcher.pid)]:
        kill(pid)
    watcher.wait(timeout=60)
    del home.environment["CFCRE_TEST_PAUSE"]

    said = home.run("watch", "--stream", "news", "--until-idle").stdout
    assert "had vanished; trying again" in said
    assert "version 1 is the champion" in said and "held-out documents: entity F1" in said
    (task,) = home.tasks(STREAM)
    assert (task["state"], task["attempt"], task["interruptions"]) == ("promoted", 2, 1)
    assert task["rows"]["accepted"] == len(good)
    assert task["rows"]["quarantined"] == len(bad)
    assert [stage for stage, kind in home.events() if kind == "end"] == [
        *STAGES[:2],
        *STAGES,
    ], "each stage once more, and none beside the other"
    for model in ("spans", "extractor"):
        found = json.loads(home.run("models", "--model", model, "--json").stdout)
        assert [v["version"] for v in found["versions"]] == ["1"]
        assert len(found["promotions"]) == 1
    store = home.path / "store"
    assert not [p for p in (store / "inbox").rglob("*") if p.is_file()]
    shown = home.run("quarantine", "show", f"{STREAM}/{task['batch']}").stdout
    assert all(reason in shown for reason in bad) and "(id far)" in shown
