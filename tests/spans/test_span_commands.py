"""``cfcre spans``: train, evaluate and noise from files to files, as a user runs them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from span_documents import easy_documents, types

from cfcre.cli.main import main
from cfcre.spans.state import read_description


def raw(document) -> dict:
    return {
        "tokens": list(document.words),
        "entities": [e._asdict() for e in document.entities],
        "relations": [r._asdict() for r in document.relations],
        "orig_id": document.id or None,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count, seed in (("train", 48, 1), ("dev", 16, 2)):
        documents = [raw(d) for d in easy_documents(count, seed)]
        (folder / f"{name}.json").write_text(json.dumps(documents))
    (folder / "types.json").write_text(json.dumps(types().to_json()))
    return folder


@pytest.fixture
def cfcre(tmp_path: Path, span_encoder: Path, capsys):
    """Function ``(*arguments) -> (exit code, output, errors)``."""

    def run(command, *arguments):
        settings = [
            f"spans.encoder={span_encoder}",
            "spans.max_length=128",
            "spans.epochs=2",
            "spans.learning_rate=2e-3",
            "compute.threads=1",
            "compute.precision=float32",
        ]
        options = [word for setting in settings for word in ("--set", setting)]
        options += ["--home", str(tmp_path / "home")]
        code = main(["spans", command, *options, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def files(data: Path) -> list:
    return ["--data", data / "train.json", "--dev", data / "dev.json"]


def test_train_then_evaluate(cfcre, data, tmp_path):
    out = tmp_path / "model"
    code, text, errors = cfcre("train", *files(data), "--types", data / "types.json", "--out", out)
    assert (code, errors) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "train: 48 of 48 documents of train.json"
    assert lines[2].startswith("epoch 1: loss ") and "F1 entity " in lines[2]
    assert lines[-1] == f"model written to {out}"
    description = read_description(out)
    last = description["lineage"]["training"]["epochs"][-1]["scores"]

    code, text, _ = cfcre("evaluate", "--model", out, "--data", data / "dev.json", "--json")
    assert code == 0
    result = json.loads(text)
    assert result["scores"] == last, "what is evaluated is what training said"
    assert result["documents"] == {
        "read": 16,
        "accepted": 16,
        "refused": 0,
        "merged_relations": 0,
    }
    code, text, _ = cfcre("evaluate", "--model", out, "--data", data / "dev.json")
    assert code == 0 and text.splitlines()[0].split()[:2] == ["entity", "precision"]
    assert "relation, strict" in text and "16 of 16 documents of dev.json" in text


def test_two_trainings_write_the_same_model(cfcre, data, tmp_path):
    for name in ("a", "b"):
        code, _, _ = cfcre("train", *files(data), "--out", tmp_path / name)
        assert code == 0
    assert read_description(tmp_path / "a") == read_description(tmp_path / "b")


def test_a_bad_document_stops_or_is_set_aside(cfcre, data, tmp_path):
    path = data / "train.json"
    documents = json.loads(path.read_text())
    documents[3] = {**documents[3], "orig_id": "oops"}
    documents[3]["entities"] = [{"type": "Peop", "start": 2, "end": 1}]
    path.write_text(json.dumps(documents))
    out = tmp_path / "model"
    code, text, errors = cfcre("train", *files(data), "--out", out)
    assert code == 65 and text == "" and not out.exists()
    assert errors.startswith("cfcre: error: train.json[3] (id oops): span_inverted: entity 0 ")
    assert len(errors.splitlines()) == 1

    code, text, errors = cfcre("train", *files(data), "--out", out, "--on-error", "quarantine")
    assert code == 0
    assert "train: 47 of 48 documents" in text
    assert "train.json[3] (id oops): span_inverted" in errors
    (line,) = (out / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["raw"] == documents[3]

    code, text, errors = cfcre("evaluate", "--model", out, "--data", path)
    assert code == 65 and "span_inverted" in errors
    code, text, errors = cfcre(
        "evaluate", "--model", out, "--data", path, "--on-error", "quarantine", "--json"
    )
    assert code == 0 and json.loads(text)["documents"]["refused"] == 1
    assert "1 documents are not used" in errors


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--preset", "other"], "Invalid value for '--preset'"),
        (["--set", "spans.temperature=0"], "spans.temperature"),
        (["--set", "spans.encoder=/no/such/encoder"], "/no/such/encoder"),
        (["--set", "spans.max_length=500"], "reads 128 word pieces"),
    ],
)
def test_wrong_options_are_said(cfcre, data, tmp_path, arguments, match):
    code, _, errors = cfcre("train", *files(data), "--out", tmp_path / "m", *arguments)
    assert code == 2 and match in errors
    assert not (tmp_path / "m").exists()


def test_something_else_is_never_replaced(cfcre, data, tmp_path):
    code, _, errors = cfcre("train", *files(data), "--out", data)
    assert code == 2 and "is no span model" in errors
    assert (data / "train.json").exists()


def test_folds_of_a_folder(cfcre, data, tmp_path):
    folder = tmp_path / "folds"
    folder.mkdir()
    for number in (0, 3):
        for part, count in (("train", 24), ("test", 8)):
            documents = [raw(d) for d in easy_documents(count, 10 * number + count)]
            path = folder / f"ade_split_{number}_{part}.json"
            path.write_text(json.dumps(documents))
    (folder / "ade_types.json").write_text(json.dumps(types().to_json()))
    out = tmp_path / "models"
    code, text, _ = cfcre("train", "--data", folder, "--out", out)
    assert code == 0
    result = json.loads((out / "folds.json").read_text())
    assert list(result["folds"]) == ["0", "3"]
    values = [f["entities"]["macro"]["f1"] for f in result["folds"].values()]
    assert result["mean"]["entities"]["macro"]["f1"]["mean"] == pytest.approx(sum(values) / 2)
    assert text.splitlines()[0] == "folds 0, 3 of folds"
    assert text.splitlines()[-2].startswith("mean ")

    code, text, _ = cfcre("train", "--data", folder, "--out", out)
    assert code == 0 and text.count("finished before") == 2 and "epoch" not in text
    code, _, errors = cfcre("train", "--data", folder, "--out", out, "--preset", "spert")
    assert code == 65 and "other data or settings" in errors

    code, text, _ = cfcre("evaluate", "--model", out, "--data", folder, "--json")
    assert code == 0 and json.loads(text)["folds"] == result["folds"]
    (out / "fold-3").rename(tmp_path / "gone")
    code, _, errors = cfcre("evaluate", "--model", out, "--data", folder)
    assert code == 3 and "has no fold-3" in errors


def test_noise_is_resumed_and_reported(cfcre, data, tmp_path):
    out = tmp_path / "noise"
    arguments = ["noise", *files(data), "--types", data / "types.json", "--out", out]
    arguments += ["--rates", "0,40", "--kinds", "symmetric,pair-flip"]
    code, text, _ = cfcre(*arguments, "--models", "spert", "--seeds", "1")
    assert code == 0
    assert text.count("F1 entity") == 3 and "finished before" not in text
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").iterdir()}
    code, text, _ = cfcre(*arguments, "--models", "spert,spanspanbert", "--seeds", "1")
    assert code == 0
    assert text.count("finished before") == 3 and text.count("F1 entity") == 6
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    assert len(list((out / "runs").iterdir())) == 6
    assert {p.name for p in out.iterdir()} == {
        "runs",
        "noise.md",
        "noise.csv",
        "noise-entities.png",
        "noise-relations.png",
    }
    rows = list(csv.DictReader((out / "noise.csv").read_text().splitlines()))
    assert {(r["model"], r["noise"]) for r in rows} == {
        (m, k) for m in ("spert", "spanspanbert") for k in ("none", "symmetric", "pair-flip")
    }
    noisy = [r for r in rows if r["noise"] != "none"]
    assert all(int(r["changed_entities"]) > 0 for r in noisy)
    assert "Trained on train.json, scored on dev.json" in (out / "noise.md").read_text()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rates", "0,140"),
        ("--rates", "x"),
        ("--kinds", "random"),
        ("--models", "bert"),
        ("--models", ","),
        ("--seeds", "-1"),
    ],
)
def test_wrong_values_of_a_study_are_said_before_anything_runs(
    cfcre, data, tmp_path, option, value
):
    out = tmp_path / "noise"
    code, text, errors = cfcre("noise", *files(data), "--out", out, option, value)
    assert code == 2 and text == "" and not out.exists()
    assert len(errors.splitlines()) == 1 and ("accepted" in errors or "takes" in errors)


class TestPresets:
    def test_a_preset_on_the_command_line_holds_whatever_the_file_says(self, tmp_path):
        from cfcre.cli.options import Common
        from cfcre.config import span_preset

        path = tmp_path / "config.yaml"
        path.write_text("spans:\n  preset: spert\n  batch_size: 4\n  epochs: 3\n")
        common = Common(str(tmp_path), None, ("spans.dropout=0.3",), None, None, None, None)
        from_file = common.settings().spans
        assert (from_file.width_embedding, from_file.batch_size) == (25, 4)
        again = common.settings(span_preset("spanspanbert")).spans
        assert (again.preset, again.width_embedding, again.batch_size) == ("spanspanbert", 50, 8)
        assert (again.epochs, again.dropout) == (3, 0.3)

    def test_spert_is_its_own_settings(self):
        from cfcre.config import load_settings

        spert = load_settings(assignments=["spans.preset=spert"], environ={}).spans
        assert (spert.temperature, spert.entity_loss, spert.dropout) == (1.0, "cross-entropy", 0.1)
        assert (spert.entity_negative_ratio, spert.entity_negative_floor) == (0, 100)
        assert (spert.relation_negative_ratio, spert.relation_negative_floor) == (0, 100)
        assert (spert.width_embedding, spert.batch_size, spert.learning_rate) == (25, 2, 5e-5)
