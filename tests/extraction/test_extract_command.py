"""``cfcre extract`` and ``cfcre spans calibrate`` from the command line to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from extraction_cases import ADDED, OWN, documents

from cfcre.cli.main import main
from cfcre.extraction.extractor import Extractor
from cfcre.extraction.results import Extraction

SENTENCE = "in spring ada founded riga last year 7"


@pytest.fixture
def cfcre(tmp_path: Path, capsys):
    """Function ``(*arguments) -> (exit code, output, errors)``."""

    def run(*arguments):
        options = ["--home", str(tmp_path / "home"), "--set", "compute.threads=1"]
        code = main([*map(str, arguments), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def extract(cfcre, span_folder, learner_folder):
    """``cfcre extract`` with both models."""
    folders = ["--spans", span_folder, "--relations", learner_folder]
    return lambda *arguments: cfcre("extract", *arguments, *folders)


def test_text_for_people(extract, extractor):
    code, text, errors = extract(SENTENCE, "")
    assert (code, errors) == (0, "")
    lines = text.splitlines()
    found = extractor(SENTENCE)
    assert lines[0] == SENTENCE
    assert lines[-2:] == ["", "  nothing found"], "every text has its lines"
    first = found.entities[0]
    assert f"  Person  ada  [10, 13)  {first.score:.3f}" in lines
    assert f"  ada → founded → riga  {found.relations[0].score:.3f}" in lines


def test_json_lines_are_the_extractions(extract, extractor, tmp_path: Path, relation_rows):
    rows = relation_rows([*OWN, *ADDED], 2, seed=4)
    file = tmp_path / "texts.jsonl"
    lines = [
        json.dumps(rows[0].text),
        json.dumps({"text": rows[1].text, "id": "second"}),
        "",
        json.dumps({"tokens": rows[-1].text.split(), "entities": [], "relations": []}),
        json.dumps({"text": "\ud83d ada"}),
    ]
    file.write_text("\n".join(lines))
    code, text, errors = extract("--file", file, "--json")
    assert (code, errors) == (0, "")
    made = [json.loads(line) for line in text.splitlines()]
    assert [m.pop("id") for m in made] == ["1", "second", "4", "5"]
    expected = extractor([rows[0].text, rows[1].text, rows[-1].text, "\ud83d ada"])
    for one, other in zip(made, expected, strict=True):
        one, other = Extraction.from_json(one), other
        assert one.text == other.text
        assert [(e.start, e.end, e.type) for e in one.entities] == [
            (e.start, e.end, e.type) for e in other.entities
        ]
        assert len(one.relations) == len(other.relations)


def test_a_text_file_is_a_text_a_line_or_one_text(extract, tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_bytes(f"\ufeff{SENTENCE}\r\n\n\u2028ada owns quito\n".encode())
    code, text, _ = extract("--file", file, "--json")
    assert code == 0
    assert [json.loads(line)["text"] for line in text.splitlines()] == [
        SENTENCE,
        "\u2028ada owns quito",
    ]
    code, text, _ = extract("--file", file, "--whole", "--json")
    (whole,) = map(json.loads, text.splitlines())
    assert whole["text"] == f"{SENTENCE}\r\n\n\u2028ada owns quito\n"


def test_a_spert_file_is_read_too(extract, tmp_path: Path, relation_rows):
    file = tmp_path / "documents.json"
    found = documents(relation_rows(["owns"], 4, seed=1), 1)
    file.write_text(
        json.dumps([{"tokens": d.words, "entities": [], "relations": []} for d in found])
    )
    code, text, _ = extract("--file", file, "--json")
    assert code == 0
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["0", "1", "2"]


def test_thresholds_constraints_and_overlap(extract):
    def relations(*options):
        code, text, errors = extract(SENTENCE, "--json", *options)
        assert (code, errors) == (0, "")
        return {r["type"] for r in json.loads(text)["relations"]}

    assert "founded" in relations()
    assert "founded" not in relations("--threshold", "founded=1")
    assert not relations("--threshold", "Person=1")
    assert "founded" in relations("--constraint", "Person,founded,Place")
    assert not relations("--constraint", "Place,founded,Place")
    assert "founded" in relations("--overlap", "allow")


def test_a_page(extract, tmp_path: Path):
    page = tmp_path / "page.html"
    code, _, errors = extract(SENTENCE, "<b>ada</b>", "--html", page)
    assert (code, errors) == (0, f"page written to {page}\n")
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!doctype html>") and "founded" in content
    assert "<b>ada" not in content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either TEXT or --file F"),
        (["x", "--whole"], "--whole needs --file"),
        (["x", "--threshold", "owns"], "--threshold takes TYPE=V"),
        (["x", "--threshold", "owns=7"], "--threshold takes TYPE=V"),
        (["x", "--threshold", "owns=nan"], "--threshold takes TYPE=V"),
        (["x", "--threshold", "Ship=0.5"], "there is no type 'Ship'; entity types are Person"),
        (["x", "--constraint", "Person,owns"], "--constraint takes HEAD,RELATION,TAIL"),
        (["x", "--constraint", "Ship,owns,Place"], "a constraint is given for 'Ship'"),
        (["x", "--pinned"], "--pinned is about registered versions"),
        (["x", "--set", "extraction.window=4"], "extraction.window"),
    ],
)
def test_wrong_options_end_with_2(extract, arguments, message):
    code, _, errors = extract(*arguments)
    assert code == 2
    assert message in errors


def test_options_that_need_each_other(cfcre, learner_folder, span_folder, tmp_path: Path):
    code, _, errors = cfcre("extract", "x", "--relations", learner_folder)
    assert code == 2 and "--relations needs --spans" in errors
    file = tmp_path / "c.json"
    file.write_text("{}")
    code, _, errors = cfcre("extract", "x", "--spans", span_folder, "--calibration", file)
    assert code == 2 and "--calibration needs --relations" in errors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": 1}', "a.jsonl:1: 'text' is 1; give a text"),
        ("a.jsonl", b'"ada"\n{"words": []}', "a.jsonl:2 is {'words': []}; give a text, or an"),
        ("a.jsonl", b'"ada"\n{', "a.jsonl:2 is not JSON"),
        ("a.jsonl", b'{"tokens": [1]}', "a.jsonl:1: 'tokens' is [1]; give a list of words"),
        ("a.json", b"[1", "a.json is not JSON"),
        ("a.json", b"[1]", "a.json[0] is 1; give a text"),
        ("a.txt", b"\xff", "a.txt: byte 0 is not UTF-8"),
    ],
)
def test_bad_files_end_with_65(extract, tmp_path: Path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    code, _, errors = extract("--file", file)
    assert code == 65
    assert message in errors


def test_a_file_larger_than_allowed_is_refused(extract, tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("ada " * 50)
    code, _, errors = extract("--file", file, "--set", "intake.max_object_bytes=100")
    assert code == 65 and "a.txt has 200 bytes; intake.max_object_bytes is 100" in errors


def test_without_a_registered_model_it_is_said_what_is_missing(cfcre):
    code, _, errors = cfcre("extract", "ada owns riga")
    assert code == 3
    assert "there is no champion of cfcre-spans yet" in errors


def test_calibrate_then_extract(
    cfcre, extract, span_folder, learner_folder, tmp_path, relation_rows
):
    data, out = tmp_path / "dev.json", tmp_path / "calibration.json"
    found = documents(relation_rows(list(OWN), 8, seed=31), 31)
    raw = [
        {
            "tokens": d.words,
            "entities": [e._asdict() for e in d.entities],
            "relations": [r._asdict() for r in d.relations],
        }
        for d in found
    ]
    data.write_text(json.dumps(raw))
    arguments = ["--model", span_folder, "--relations", learner_folder, "--out", out]
    code, text, errors = cfcre("spans", "calibrate", "--data", data, *arguments)
    assert (code, errors) == (0, "")
    assert text.endswith(f"calibration written to {out}\n")
    assert "16 documents of dev.json: 56 pairs of entities, 24 labelled relations" in text
    code, _, _ = extract(SENTENCE, "--calibration", out)
    assert code == 0
    loaded = Extractor.load(spans=span_folder, relations=learner_folder, calibration=out)
    assert loaded.calibration is not None and loaded.calibration.documents == 16

    raw[3]["entities"][0]["end"] = 999
    data.write_text(json.dumps(raw))
    code, _, errors = cfcre("spans", "calibrate", "--data", data, *arguments)
    assert code == 65
    assert "dev.json[3]: span_out_of_range: entity 0 is" in errors
    code, _, errors = cfcre(
        "spans", "calibrate", "--data", data, *arguments, "--on-error", "quarantine"
    )
    assert code == 0 and "1 documents are not used: span_out_of_range 1" in errors
