"""The extractor beside a relation model: which pair it refers to, and its calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joint_cases import make_documents

from cfcre.cli.main import main
from cfcre.extraction.extractor import Extractor
from cfcre.intake.submit import SubmitFile
from cfcre.operations.joint.extractor import champions, follow_champions
from cfcre.operations.promotion import promote
from cfcre.operations.single_task import run_single_task
from cfcre.operations.tracking_store import open_tracker
from cfcre.tracking.kinds import EXTRACTOR

STREAM = "news.documents"


def learn_relations(world: Any, folder: Path, rows: list[Any]) -> str:
    """A relation model, registered and made the champion."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    learned = run_single_task(None, [SubmitFile(file)], folder / "learned", world.settings)
    tracker = open_tracker(world.settings)
    facts = {"stream": "news", "batch_hash": "a" * 64, "task": 1}
    version = tracker.register(tracker.open_run("r"), learned.state, learned.evaluation, facts)
    promote(world.ledger, tracker, version, reason="first", actor="test")
    return version


def calibration(world: Any, version: str) -> dict[str, Any] | None:
    file = open_tracker(world.settings, EXTRACTOR).state_path(version) / "calibration.json"
    return json.loads(file.read_text()) if file.is_file() else None


def pairs(world: Any) -> dict[str, tuple[Any, Any]]:
    return {
        v["version"]: (v.get("spans_version"), v.get("relations_version"))
        for v in world.versions(EXTRACTOR)
    }


def test_the_extractor_follows_both_models(
    make_world, relation_rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # What the gate makes of so small a model is not the subject here.
    open_gate = dict.fromkeys(("entity", "relation", "type"), 1.0)
    world = make_world(
        method__epoch1=2,
        method__learning_rate=2e-3,
        **{f"joint__max_{name}_drop": value for name, value in open_gate.items()},
    )
    assert champions(world.settings, world.ledger) is None
    assert follow_champions(world.settings, world.ledger, actor="test") is None

    world.drop(make_documents(relation_rows, ["founded", "born in"], 20, 1), STREAM)
    world.until_idle()
    assert pairs(world) == {"1": ("1", None)}
    assert calibration(world, "1") is None

    learn_relations(world, tmp_path, relation_rows(["owns", "wrote"], 12, seed=4))
    for _ in range(2):  # a second time changes nothing
        assert follow_champions(world.settings, world.ledger, actor="test") == "2"
    assert pairs(world) == {"1": ("1", None), "2": ("1", "1")}

    # Within a run, before its task is settled: the newest documents are among those calibrated on.
    world.drop(make_documents(relation_rows, ["owns"], 20, 2), STREAM, "two.json")
    world.until_idle()
    assert pairs(world)["3"] == ("2", "1")
    tasks = world.tasks(STREAM)
    chosen = calibration(world, "3")
    assert chosen is not None and chosen["documents"] > 0
    corpus = world.ledger.batch(tasks[1]["batch"], STREAM).facts["corpus"]
    assert chosen["documents"] == corpus["validation"]
    assert chosen["relations"] == ["owns", "wrote"]

    loaded = Extractor.from_registry(settings=world.settings)
    assert loaded.versions == {"extractor": "3", "spans": "2", "relations": "1"}
    assert loaded.added_relations == ("wrote",)
    text = "long ago ada founded orion in spring 3"
    found = loaded(text)
    assert [text[e.start : e.end] for e in found.entities] == ["ada", "orion"]

    # Back to the first span model: the pair of that time is found again.
    home = ["--home", str(world.settings.home)]
    assert main(["rollback", "--model", "spans", "--reason", "r", *home]) == 0
    assert "the extractor is version 2" in capsys.readouterr().out
    assert len(pairs(world)) == 3
    moves = world.ledger.for_model("cfcre-extractor").promotions()
    assert [m.new_version for m in moves] == ["1", "2", "3", "2"]
    assert moves[-1].reason == "follows the champions: spans 1, relations 1"
    assert main(["models", "--model", "extractor", *home]) == 0
    assert "span model" in capsys.readouterr().out
