"""The whole pipeline on this machine: what a user sees after two good batches and a bad one."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from local_pipeline import STAGES, descendants, make_home, running

from cfcre.cli.main import main

pytestmark = pytest.mark.slow

STATUS_KEYS = {
    "task",
    "batch",
    "state",
    "relations",
    "rows",
    "model_version",
    "accuracy",
    "average_accuracy",
    "forgetting",
    "verdict",
    "seconds",
}


def learned(learned_stream) -> list[dict]:
    return [t for t in learned_stream.home.tasks("news") if t["task"] is not None]


def test_status_holds_what_is_promised(learned_stream) -> None:
    first, second = learned(learned_stream)
    for task in (first, second):
        assert set(task) >= STATUS_KEYS
        assert task["state"] == "promoted"
        assert set(STAGES[:-1]) <= set(task["seconds"])
        assert all(seconds > 0 for seconds in task["seconds"].values())
        assert len(task["accuracy"]) == task["task"]
        assert all(0 <= a <= 1 for a in task["accuracy"])
    assert first["rows"] == {"read": 60, "accepted": 60, "quarantined": 0}
    assert second["rows"] == {"read": 63, "accepted": 60, "quarantined": 3}
    assert second["relations"] == ["owns", "wrote"]
    mean = sum(second["accuracy"]) / 2
    assert second["average_accuracy"] == pytest.approx(mean)
    forgotten = first["accuracy"][0] - second["accuracy"][0]
    assert second["forgetting"] == pytest.approx(forgotten)


def test_a_bad_batch_is_set_aside_and_stops_nothing(learned_stream) -> None:
    home = learned_stream.home
    (rejected,) = (t for t in home.tasks("news") if t["task"] is None)
    assert (rejected["state"], rejected["reason"]) == ("rejected", "too_few_rows")
    assert rejected["rows"]["read"] == 5
    assert rejected["rows"]["accepted"] + rejected["rows"]["quarantined"] == 5
    store = home.path / "store"
    reason = json.loads((store / "rejected/news" / rejected["batch"] / "reason.json").read_text())
    assert reason["reason"] == "too_few_rows"
    assert not [p for p in (store / "inbox").rglob("*") if p.is_file()]
    processed = {p.name for p in (store / "processed/news").iterdir()}
    assert processed == {t["batch"] for t in learned(learned_stream)}


def test_quarantine_shows_and_gives_back_the_rows(learned_stream, tmp_path: Path) -> None:
    home = learned_stream.home
    listed = json.loads(home.run("quarantine", "list", "--json").stdout)
    for entry in listed:
        counts = entry["counts"]
        assert counts["accepted"] + counts["quarantined"] == counts["read"]
        assert sum(entry["by_reason"].values()) == counts["quarantined"]
    batch = learned(learned_stream)[1]["batch"]
    shown = home.run("quarantine", "show", batch[:10], "--json").stdout.splitlines()
    reasons = [json.loads(line)["reason"] for line in shown]
    assert reasons == ["span_out_of_range", "missing_field", "wrong_type"]
    out = tmp_path / "rows.jsonl"
    home.run("quarantine", "export", batch, str(out))
    source = learned_stream.files[1].read_text().splitlines()[-3:]
    assert [json.loads(x) for x in out.read_text().splitlines()] == [json.loads(x) for x in source]


def test_one_version_a_task_with_aliases(learned_stream) -> None:
    versions = learned_stream.home.versions()
    assert [v["task"] for v in versions] == [1, 2]
    assert [t["model_version"] for t in learned(learned_stream)] == [v["version"] for v in versions]
    assert sorted(versions[1]["aliases"]) == ["challenger", "champion"]
    assert versions[0]["aliases"] == []


def test_the_report_and_data_docs_are_there(learned_stream) -> None:
    home = learned_stream.home.path
    reports = sorted(p.name for p in (home / "reports/news").iterdir())
    assert [name[:8] for name in reports] == ["news-001", "news-002"]
    text = (home / "reports/news" / reports[1]).read_text()
    assert "data:image/png" in text
    assert len(list((home / "docs/news").glob("*/index.html"))) == 3


def test_results_are_kept_as_kubeflow_shows_them(learned_stream) -> None:
    """The files and the metadata that its viewers of HTML, Markdown and metrics read."""
    _, second = learned(learned_stream)
    runs = learned_stream.home.path / "runs"
    (artifacts,) = runs.glob(f"news-{second['batch'][:8]}-*/artifacts")
    (page,) = artifacts.rglob("evaluate/accuracy")
    text = page.read_text(encoding="utf-8")
    assert "**promote**" in text
    row = " | ".join(f"{a:.3f}" for a in second["accuracy"])
    assert f"| 2 | {row} |" in text
    (docs,) = artifacts.rglob("validate/docs")
    html = docs.read_text(encoding="utf-8")
    assert html.count("<iframe") == 3, "rows, between rows and the batch, in one page"
    assert "units_out_of_range" in html
    (output,) = artifacts.rglob("evaluate/executor_output.json")
    made = json.loads(output.read_text(encoding="utf-8"))["artifacts"]
    (confusion,) = made["confusion"]["artifacts"]
    matrix = confusion["metadata"]["confusionMatrix"]
    names = [item["displayName"] for item in matrix["annotationSpecs"]]
    counts = [row["row"] for row in matrix["rows"]]
    assert sorted(names) == ["born in", "founded", "owns", "wrote"]
    (metrics,) = made["metrics"]["artifacts"]
    right = sum(counts[i][i] for i in range(len(names)))
    assert metrics["metadata"]["overall_accuracy"] == pytest.approx(right / sum(map(sum, counts)))
    assert metrics["metadata"]["accuracy_task_02"] == pytest.approx(second["accuracy"][1])


def test_the_data_docs_of_a_rejected_batch_are_in_the_store(learned_stream) -> None:
    home = learned_stream.home
    (rejected,) = (t for t in home.tasks("news") if t["task"] is None)
    page = home.path / "store/quarantine/news" / f"{rejected['batch']}.data_docs.html"
    assert "<iframe" in page.read_text(encoding="utf-8")


def test_predict_by_the_champion(learned_stream, tmp_path: Path) -> None:
    home = learned_stream.home
    sentence = "last year [ada] wrote {orion} in spring 7"
    answer = json.loads(home.run("predict", sentence, "--json", "--top-k", "4").stdout)
    assert answer["head"] == {"start": 10, "end": 13, "text": "ada"}
    assert answer["model_version"] == "2"
    scores = [p["score"] for p in answer["predictions"]]
    assert scores == sorted(scores, reverse=True)
    known = {"founded", "born in", "owns", "wrote"}
    assert {p["relation"] for p in answer["predictions"]} == known
    rows = tmp_path / "rows.jsonl"
    plain = {"text": answer["text"], "head": [10, 13], "tail": [20, 25]}
    tokens = {"tokens": plain["text"].split(), "head": [2, 3], "tail": [4, 5]}
    rows.write_text(json.dumps(plain) + "\n\n" + json.dumps(tokens) + "\n")
    lines = home.run("predict", "--file", str(rows), "--json").stdout.splitlines()
    best = [json.loads(line)["predictions"][0] for line in lines]
    # The same sentence, given in three ways.
    assert [b["relation"] for b in best] == [answer["predictions"][0]["relation"]] * 2
    assert [b["score"] for b in best] == pytest.approx([scores[0]] * 2, rel=1e-5)


def test_the_same_content_again_is_not_learned_again(learned_stream) -> None:
    home = learned_stream.home
    said = home.run("submit", str(learned_stream.files[0]), "--stream", "news").stdout
    assert "processed/" in said
    home.run("watch", "--until-idle")
    assert len(home.versions()) == 2


def test_promote_and_rollback_leave_rows_in_the_ledger(learned_stream) -> None:
    home = learned_stream.home
    home.run("promote", "1", "--reason", "a test of promotion")
    assert {v["version"]: v["aliases"] for v in home.versions()}["1"] == ["champion"]
    home.run("rollback", "--reason", "a test of rollback")
    assert "champion" in {v["version"]: v["aliases"] for v in home.versions()}["2"]
    moves = json.loads(home.run("models", "--json").stdout)["promotions"]
    made = [(m["kind"], m["new_version"]) for m in moves[-2:]]
    assert made == [("promote", "1"), ("rollback", "2")]
    assert moves[-1]["reason"] == "a test of rollback"


def test_connections_do_not_travel_as_parameters(learned_stream) -> None:
    for log in learned_stream.home.path.glob("runs/*/log.txt"):
        text = log.read_text(errors="replace")
        assert "sqlite:///" not in text


def test_a_path_with_spaces_and_the_word_python3(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path]
) -> None:
    """kfp.local puts paths into a shell command and replaces the word python3 in them."""
    home = make_home(tmp_path / "my python3 home", tiny_encoder)
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(batch_files[0].read_bytes().split(b"\n")[:5]) + b"\n")
    home.run("submit", str(few), "--stream", "s")
    home.run("watch", "--once")
    (task,) = home.tasks("s")
    assert (task["state"], task["reason"]) == ("rejected", "too_few_rows")


def test_two_watchers_share_one_stream(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path], learned_stream
) -> None:
    # Every stage an interpreter of its own here: it learns the same.
    home = make_home(tmp_path / "home", tiny_encoder, pipeline={"prefork": False})
    home.run("submit", str(batch_files[0]), "--stream", "s")
    watchers = [home.start("watch", "--until-idle") for _ in range(2)]
    assert [w.wait(timeout=400) for w in watchers] == [0, 0]
    (task,) = home.tasks("s")
    assert (task["state"], task["attempt"]) == ("promoted", 1)
    assert task["accuracy"] == learned(learned_stream)[0]["accuracy"]
    assert len(home.versions()) == 1
    ends = [event for event in home.events() if event == ("train_task", "end")]
    assert len(ends) == 1


def test_run_task_continues_its_own_state(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_home(tmp_path / "home", tiny_encoder)
    common = ["--home", str(home.path)]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["run-task", "--data", str(batch_files[0]), "--out", str(one), *common]) == 0
    again = ["run-task", "--state-in", str(one), "--data", str(batch_files[1]), "--out", str(two)]
    assert main([*again, *common]) == 0
    said = capsys.readouterr().out
    assert re.search(r"accepted 60 \+ quarantined 3", said)
    evaluation = json.loads((two / "evaluation.json").read_text())
    assert [len(row) for row in evaluation["accuracy_matrix"]] == [1, 2]
    assert evaluation["champion"]["version"] == "the state before"
    assert (two / "report.html").is_file()
    assert main([*again, *common]) == 2, "an output folder is never overwritten"


def test_run_task_takes_parts_of_one_file_as_different_tasks(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path]
) -> None:
    home = make_home(tmp_path / "home", tiny_encoder)
    one, two = tmp_path / "one", tmp_path / "two"
    data = ["run-task", "--data", str(batch_files[0]), "--max-per-relation", "20"]
    home.run(*data, "--relations", "founded", "--out", str(one))
    again = [*data, "--state-in", str(one), "--out", str(two)]
    assert "rows read 20 = accepted 20" in home.run(*again, "--relations", "born in").stdout
    state = json.loads((two / "state" / "state.json").read_text())
    assert state["catalogue"] == ["founded", "born in"]
    # The same part again is the same batch, and a relation that is not there is said.
    refused = ["run-task", *data[1:], "--state-in", str(two), "--out", str(tmp_path / "three")]
    assert "learned this very batch" in home.run(*refused, "--relations", "founded", code=65).stderr
    assert "'wed'" in home.run(*refused, "--relations", "wed", code=2).stderr


def test_run_task_learns_what_the_pipeline_learns(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path], learned_stream
) -> None:
    out = tmp_path / "out"
    home = make_home(tmp_path / "home", tiny_encoder)
    home.run("run-task", "--data", str(batch_files[0]), "--out", str(out))
    accuracy = json.loads((out / "evaluation.json").read_text())["accuracy"]
    assert accuracy == learned(learned_stream)[0]["accuracy"]


def test_an_interrupt_stops_the_whole_run(
    tmp_path: Path, tiny_encoder: Path, batch_files: list[Path]
) -> None:
    home = make_home(tmp_path / "home", tiny_encoder)
    home.environment["CFCRE_TEST_PAUSE"] = "ingest=60"
    home.run("submit", str(batch_files[0]), "--stream", "s")
    watcher = home.start("watch", "--until-idle")
    home.wait_for("ingest", 0)
    below = descendants(watcher.pid)
    assert below
    watcher.terminate()
    assert watcher.wait(timeout=30) == 130
    end = time.monotonic() + 10
    while time.monotonic() < end and running(below):
        time.sleep(0.1)
    assert running(below) == []
