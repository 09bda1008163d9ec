from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from intake_samples import lines, row

from cfcre.data.schema import example_from_tokens
from cfcre.errors import BatchRejected, ConfigurationError
from cfcre.intake.formats import FORMATS, Selection, check_format, parse_rows
from cfcre.intake.rows import RawRow

ROW = row("Ada founded Acme .", "Acme", "Ada", "founded by")
FEWREL = {
    "P1": [
        {
            "tokens": ["the", "new", "york", "bank", "is", "in", "new", "york"],
            "h": ["bank", "Q1", [[3]]],
            "t": ["new york", "Q2", [[1, 2], [6, 7]]],
        }
    ],
    "P2": [{"tokens": ["a", "b"], "h": ["a", None, [[0]]], "t": ["b", None, [[1]]]}],
}
TACRED = [
    {
        "id": "e1", "relation": "per:title", "token": ["Mr", "Tom", "Fox", ",", "chief", "cook"],
        "subj_start": 1, "subj_end": 2, "obj_start": 4, "obj_end": 5, "subj_type": "PERSON",
    }
]  # fmt: skip
SPERT = [
    {
        "tokens": ["Tom", "Fox", "lives", "in", "Rome"],
        "entities": [
            {"type": "Loc", "start": 4, "end": 5},
            {"type": "Peop", "start": 0, "end": 2},
        ],
        "relations": [{"type": "Live_In", "head": 1, "tail": 0}],
        "orig_id": 7,
    },
    {"tokens": ["Nothing"], "entities": [], "relations": [], "orig_id": 8},
]
SEMEVAL = (
    '8\t"The <e1>burst</e1> was caused by hammer <e2>pressure</e2>."\r\n'
    "Cause-Effect(e2,e1)\r\nComment: none\r\n\r\n"
    '9\t"The <e2>cup</e2> holds <e1>tea & <b></e1>."\nContent-Container(e1,e2)\n\n'
    '10\t"A <e1>x</e1> and <e2>y</e2>."\nOther\nComment:\n'
)


def parse(
    data: bytes | str,
    file: str,
    format: str | None = None,
    selection: Selection | None = None,
    declared: Any = None,
    max_rows: int = 10**6,
    max_bytes: int = 10**9,
) -> tuple[str, list[RawRow], int]:
    return parse_rows(
        data.encode() if isinstance(data, str) else data,
        file,
        format=format,
        declared=declared,
        selection=selection or Selection(),
        max_rows=max_rows,
        max_bytes=max_bytes,
    )


def rejected(*args: Any, **options: Any) -> BatchRejected:
    with pytest.raises(BatchRejected) as caught:
        parse(*args, **options)
    return caught.value


def parts(found: RawRow) -> tuple[str, str, str]:
    assert found.example is not None, found.problem
    e = found.example
    return e.text[slice(*e.head)], e.text[slice(*e.tail)], e.relation


def csv_text(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


FLAT = {
    "text": 'Ada, "the first", \n founded Acme', "head_start": 28, "head_end": 32,
    "tail_start": 0, "tail_end": 3, "relation": "founded by", "id": "7", "split": "test",
}  # fmt: skip


# --- what each format says


def test_jsonl_text_and_token_form() -> None:
    tokens = {"tokens": ["Ada", "founded", "New", "Co"], "head": [2, 4], "tail": [0, 1]}
    rows = [{**ROW, "id": 5, "split": "test"}, {**tokens, "relation": "r", "extra": [1]}]
    name, found, total = parse(lines(rows), "f.jsonl")
    assert (name, total) == ("jsonl", 2)
    assert parts(found[0]) == ("Acme", "Ada", "founded by")
    assert parts(found[1]) == ("New Co", "Ada", "r")
    assert found[0].example is not None
    assert (found[0].example.id, found[0].example.split) == ("5", "test")
    assert [f.source for f in found] == ["f.jsonl:1", "f.jsonl:2"]
    assert found[1].raw == rows[1]


def test_fewrel_takes_the_first_mention() -> None:
    name, found, total = parse(json.dumps(FEWREL), "f.json")
    assert (name, total) == ("fewrel", 2)
    assert parts(found[0]) == ("bank", "new york", "P1")
    assert found[0].example is not None
    assert found[0].example.tail.start == len("the ")
    assert found[0].source == "f.json#P1[0]"


def test_tacred_ends_are_inclusive() -> None:
    name, found, _ = parse(json.dumps(TACRED), "f.json")
    assert name == "tacred"
    assert parts(found[0]) == ("Tom Fox", "chief cook", "per:title")
    assert found[0].example is not None
    assert found[0].example.id == "e1"


def test_spert_gives_one_row_a_relation() -> None:
    name, found, total = parse(json.dumps(SPERT), "f.json")
    assert (name, total, len(found)) == ("spert", 1, 1)
    assert parts(found[0]) == ("Tom Fox", "Rome", "Live_In")


def test_semeval_direction_decides_head_and_tail() -> None:
    name, found, total = parse(SEMEVAL, "TRAIN_FILE.TXT")
    assert (name, total) == ("semeval", 3)
    assert parts(found[0]) == ("pressure", "burst", "Cause-Effect")
    assert parts(found[1]) == ("tea & <b>", "cup", "Content-Container")
    assert parts(found[2]) == ("x", "y", "Other")
    assert found[0].example is not None
    assert found[0].example.text == "The burst was caused by hammer pressure."
    assert [f.source[-3:] for f in found] == ["T:1", "T:5", "T:8"]


def test_csv_with_quotes_commas_and_line_breaks() -> None:
    name, found, total = parse(csv_text([FLAT, FLAT]), "f.csv")
    assert (name, total) == ("csv", 2)
    assert parts(found[0]) == ("Acme", "Ada", "founded by")
    assert found[0].example is not None
    assert (found[0].example.id, found[0].example.split) == ("7", "test")
    assert [f.source for f in found] == ["f.csv:2", "f.csv:4"]


def test_csv_tokens() -> None:
    cells = {"tokens": '["Ada", "saw", "Bob"]', "head_start": 2, "head_end": 3, "tail_start": 0}
    _, found, _ = parse(csv_text([{**cells, "tail_end": 1, "relation": "saw"}]), "f.csv")
    assert parts(found[0]) == ("Bob", "Ada", "saw")


def test_parquet_text_list_tokens_and_json_tokens() -> None:
    spans = {"head_start": 2, "head_end": 3, "tail_start": 0, "tail_end": 1, "relation": "saw"}
    for more in (
        {"text": "A B", "odd": object.__name__},
        {"tokens": ["A", "s", "B"]},
        {"tokens": '["A","s","B"]'},
    ):
        name, found, total = parse(parquet([{**spans, **more}]), "f.parquet")
        assert (name, total) == ("parquet", 1)
        assert parts(found[0]) == ("B", "A", "saw")


def test_parquet_written_by_pandas_with_gaps() -> None:
    rows = [{**FLAT, "head_start": 28.0}, {**FLAT, "head_start": None}, {**FLAT, "head_start": 1.5}]
    _, found, _ = parse(parquet(rows), "f.parquet")
    assert parts(found[0])[0] == "Acme"
    assert [f.problem and f.problem.reason for f in found] == [None, "missing_field", "wrong_type"]


def test_all_formats_agree_on_one_row() -> None:
    tokens = ["Ada", "founded", "New", "Co"]
    token_row = {"tokens": tokens, "head": [2, 4], "tail": [0, 1], "relation": "r"}
    flat = {"head_start": 2, "head_end": 4, "tail_start": 0, "tail_end": 1, "relation": "r"}
    spert = {
        "tokens": tokens,
        "entities": [{"start": 2, "end": 4}, {"start": 0, "end": 1}],
        "relations": [{"type": "r", "head": 0, "tail": 1}],
    }
    tacred = {
        "token": tokens, "relation": "r",
        "subj_start": 2, "subj_end": 3, "obj_start": 0, "obj_end": 0,
    }  # fmt: skip
    fewrel = {"tokens": tokens, "h": ["", "", [[2, 3]]], "t": ["", "", [[0]]]}
    files: dict[str, bytes] = {
        "jsonl": lines([token_row]),
        "fewrel": json.dumps({"r": [fewrel]}).encode(),
        "tacred": json.dumps([tacred]).encode(),
        "spert": json.dumps([spert]).encode(),
        "semeval": b"1\t<e2>Ada</e2> founded <e1>New Co</e1>\nr(e1,e2)\n",
        "csv": csv_text([{**flat, "tokens": json.dumps(tokens)}]).encode(),
        "parquet": parquet([{**flat, "tokens": tokens}]),
    }
    assert set(files) == set(FORMATS)
    expected = example_from_tokens(tokens, (2, 4), (0, 1), "r")
    for name, data in files.items():
        recognised, found, _ = parse(data, "some.data")
        assert recognised == name
        assert found[0].example is not None
        assert replace(found[0].example, id="") == expected, name


# --- recognition


@pytest.mark.parametrize(
    ("data", "file", "expected"),
    [
        (lines([ROW]), "x.json", "jsonl"),
        (lines([ROW, ROW]), "x", "jsonl"),
        (b"\xef\xbb\xbf" + lines([ROW]), "x", "jsonl"),
        (b"junk\n" + lines([ROW]), "x.jsonl", "jsonl"),
        (b"", "x.jsonl.gz", "jsonl"),
        (json.dumps(FEWREL, indent=1).encode(), "x.json.gz", "fewrel"),
        (b"\xef\xbb\xbf" + json.dumps(TACRED, indent=1).encode(), "x", "tacred"),
        (json.dumps([None, *SPERT]).encode(), "X.JSON", "spert"),
        (SEMEVAL.encode(), "x.txt", "semeval"),
        (csv_text([FLAT]).encode(), "x", "csv"),
    ],
)
def test_recognised(data: bytes, file: str, expected: str) -> None:
    assert parse(data, file)[0] == expected


@pytest.mark.parametrize(
    ("data", "file"),
    [
        (b"hello", "x.txt"),
        (b"", "x"),
        (b'{"a": 1}', "x.json"),
        (b"[1, 2]", "x.json"),
        (b"PK\x03\x04zip", "x.zip"),
        (b"{broken", "x.dat"),
        (b'[{"text": "rows in an array"}]', "x.json"),
    ],
)
def test_unknown_format_says_how_to_name_one(data: bytes, file: str) -> None:
    error = rejected(data, file)
    assert error.reason == "unknown_format"
    assert "--format" in error.detail


@pytest.mark.parametrize(
    ("data", "file", "candidates"),
    [
        (b"[]", "x.json", ("spert", "tacred")),
        (json.dumps(FEWREL).encode(), "x.jsonl", ("fewrel", "jsonl")),
        (lines([ROW]), "x.csv", ("csv", "jsonl")),
        (json.dumps([{**SPERT[0], **TACRED[0]}]).encode(), "x", ("spert", "tacred")),
    ],
)
def test_ambiguous_format_names_both(data: bytes, file: str, candidates: tuple[str, ...]) -> None:
    error = rejected(data, file)
    assert error.reason == "ambiguous_format"
    assert all(name in error.detail for name in (*candidates, "--format"))
    for name in candidates:  # naming one ends the doubt
        try:
            assert parse(data, file, format=name)[0] == name
        except BatchRejected as other:
            assert other.reason == "unreadable_file"


def test_check_format() -> None:
    assert check_format(None) is None
    assert check_format("tacred") == "tacred"
    with pytest.raises(ConfigurationError, match="jsonl"):
        check_format("xml")


@pytest.mark.parametrize(
    ("data", "file", "format"),
    [
        (b'{"P1": [', "x.json", None),
        (b'{"P1": "\xff"}', "x.json", None),
        (b"[" * 100_000, "x.json", None),
        (b'{"P1": NaN}', "x.json", None),
        (b"[]", "x", "fewrel"),
        (b"{}", "x", "tacred"),
        (b"{}", "x", "spert"),
        (b"not parquet", "x.parquet", None),
        (b"PAR1 but no more", "x", None),
        (parquet([{"text": "a"}]), "x", None),
        (parquet([FLAT])[:-20], "x", None),
        (b"a,b\n1,2\n", "x.csv", None),
        (b"a\xff,b\n1,2\n", "x.csv", None),
        (b"text,text,head_start,head_end,tail_start,tail_end,relation\n", "x.csv", None),
        ((csv_text([FLAT]) + '"open\n' + csv_text([FLAT])).encode(), "x.csv", None),
        (lines([ROW]).decode().encode("utf-16"), "x.jsonl", None),
    ],
)
def test_unreadable_file(data: bytes, file: str, format: str | None) -> None:
    error = rejected(data, file, format=format)
    assert error.reason == "unreadable_file"
    assert error.detail.startswith(file)
    assert "\n" not in error.detail


# --- rows that can not be read


def reasons(data: bytes | str, file: str, format: str | None = None) -> list[str | None]:
    name, found, total = parse(data, file, format=format)
    assert total == len(found), name
    return [f.problem.reason if f.problem else None for f in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "invalid_json"),
        (b"nonsense", "invalid_json"),
        (b'{"text": NaN}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b"9" * 5000, "invalid_json"),
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"text": "a\xffb"}', "invalid_encoding"),
        (b"\xc3", "invalid_encoding"),
    ],
)
def test_one_bad_line_spoils_no_other(line: bytes, expected: str) -> None:
    good = lines([ROW])
    assert reasons(good + line + b"\n" + good, "x.jsonl") == [None, expected, None]


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"text": ...}, "missing_field"),
    ({"head": ...}, "missing_field"),
    ({"tail": ...}, "missing_field"),
    ({"relation": ...}, "missing_field"),
    ({"head": {"start": 1}}, "missing_field"),
    ({"text": 5}, "wrong_type"),
    ({"text": None}, "wrong_type"),
    ({"text": ..., "tokens": "a b c"}, "wrong_type"),
    ({"text": ..., "tokens": ["a", 1]}, "wrong_type"),
    ({"tokens": ["a", "b"]}, "wrong_type"),
    ({"head": None}, "wrong_type"),
    ({"head": {"start": 0, "end": "4"}}, "wrong_type"),
    ({"head": {"start": 0.0, "end": 4}}, "wrong_type"),
    ({"head": {"start": False, "end": True}}, "wrong_type"),
    ({"head": [1, 2, 3]}, "wrong_type"),
    ({"head": "0-4"}, "wrong_type"),
    ({"relation": 5}, "wrong_type"),
    ({"relation": None}, "wrong_type"),
    ({"relation": ["a"]}, "wrong_type"),
    ({"id": {"a": 1}}, "wrong_type"),
    ({"id": 1.5}, "wrong_type"),
    ({"split": "dev"}, "invalid_split"),
    ({"split": 1}, "invalid_split"),
    ({"split": ["train"]}, "invalid_split"),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_fields_missing_or_of_the_wrong_type(change: dict[str, Any], expected: str) -> None:
    changed = {k: v for k, v in {**ROW, **change}.items() if v is not ...}
    assert reasons(lines([changed]), "x.jsonl") == [expected]


@pytest.mark.parametrize("field", ["id", "split"])
def test_null_is_no_id_and_no_split(field: str) -> None:
    assert reasons(lines([{**ROW, field: None}]), "x.jsonl") == [None]


def test_split_of_file_and_row() -> None:
    rows = [ROW, {**ROW, "split": "test"}, {**ROW, "split": "train"}]
    _, found, _ = parse(lines(rows), "x.jsonl", declared="test")
    assert [f.example and f.example.split for f in found[:2]] == ["test", "test"]
    assert found[2].problem is not None
    assert found[2].problem.reason == "invalid_split"
    assert "train" in found[2].problem.detail
    assert "test" in found[2].problem.detail


@pytest.mark.parametrize(
    "item",
    [5, {}, {"tokens": ["a"]}, {**FEWREL["P2"][0], "h": [0, 1]}, {**FEWREL["P2"][0], "h": 0}],
)
def test_bad_fewrel_rows(item: Any) -> None:
    data = json.dumps({"P1": [FEWREL["P1"][0], item]})
    assert reasons(data, "x.json")[0] is None
    assert reasons(data, "x.json")[1] in ("missing_field", "wrong_type")


def test_bad_fewrel_relation_and_tacred_and_spert_entries() -> None:
    assert reasons(json.dumps({**FEWREL, "P3": "x"}), "x", "fewrel")[-1] == "wrong_type"
    bad = [TACRED[0], 5, {"token": ["a"]}, {**TACRED[0], "subj_end": "2"}]
    assert reasons(json.dumps(bad), "x.json") == [
        None, "not_an_object", "missing_field", "wrong_type",
    ]  # fmt: skip
    relations = [5, {"type": "r", "head": 9, "tail": 0}, {"head": 0, "tail": 1}]
    documents = [{**SPERT[0], "relations": relations}, 5, {"tokens": []}, {"relations": 1}]
    assert reasons(json.dumps(documents), "x.json", "spert") == [
        "not_an_object", "span_out_of_range", "missing_field",
        "not_an_object", "missing_field", "wrong_type",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"1 no tab <e1>a</e1> <e2>b</e2>\nr(e1,e2)", "missing_field"),
        (b"1\t<e1>a</e1> <e2>b</e2>", "missing_field"),
        (b"1\t<e1>a</e1> b\nr(e1,e2)", "missing_field"),
        (b"1\t<e1>a</e1> <e1>a</e1> <e2>b</e2>\nr(e1,e2)", "missing_field"),
        (b"1\t<e1>a</e1> <e2>b</e2>\nr(e1,e1)", "wrong_type"),
        (b"1\t<e1>a</e1> <e2>b</e2>\nr(x,y)", "wrong_type"),
        (b"1\t<e1>\xff</e1> <e2>b</e2>\nr(e1,e2)", "invalid_encoding"),
    ],
)
def test_bad_semeval_records(record: bytes, expected: str) -> None:
    good = b"1\t<e1>a</e1> <e2>b</e2>\nr(e1,e2)"
    data = good + b"\n\n" + record + b"\n\n" + good
    assert reasons(data, "x.txt") == [None, expected, None]


def test_bad_csv_rows() -> None:
    good, header = csv_text([FLAT]).encode(), csv_text([FLAT]).split("\r\n")[0]
    assert header.startswith("text,head_start")
    bad = [
        (b"a b,0,1,2,3\r\n", "missing_field"),
        (b"a b,0,1,2,3,r,i,train,extra\r\n", "wrong_type"),
        (b"a b,zero,1,2,3,r,,\r\n", "wrong_type"),
        (b"a b,1.0,1,2,3,r,,\r\n", "wrong_type"),
        (b"a b,,1,2,3,r,,\r\n", "missing_field"),
        (b"a\xff b,0,1,2,3,r,,\r\n", "invalid_encoding"),
    ]
    data = good + b"".join(line for line, _ in bad) + b"a b,0,1,2,3,r,,\r\n"
    assert reasons(data, "x.csv") == [None, *(expected for _, expected in bad), None]


CELLS = b"A\xffB" + b"A B"


def test_parquet_cell_that_is_not_utf8() -> None:
    broken = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(b"\0\0\0\0\3\0\0\0\6\0\0\0"), pa.py_buffer(CELLS)],
    )
    spans = {"head_start": 0, "head_end": 1, "tail_start": 2, "tail_end": 3}
    columns = {name: [offset, offset] for name, offset in spans.items()}
    out = io.BytesIO()
    pq.write_table(pa.table({"text": broken, **columns, "relation": ["r", "r"]}), out)
    assert reasons(out.getvalue(), "x.parquet") == ["invalid_encoding", None]


# --- bounds


def test_too_many_rows() -> None:
    assert parse(lines([ROW] * 3), "x.jsonl", max_rows=3)[2] == 3
    assert rejected(lines([ROW] * 3), "x.jsonl", max_rows=2).reason == "too_many_rows"
    assert rejected(parquet([FLAT] * 3), "x.parquet", max_rows=2).reason == "too_many_rows"


def test_parquet_bomb() -> None:
    data = parquet([{**FLAT, "text": "x" * 10_000}] * 1000)
    assert len(data) < 100_000  # one value, kept once
    assert rejected(data, "x.parquet", max_bytes=1_000_000).reason == "decompressed_too_large"


# --- selection


def test_selection_by_relation_and_limit() -> None:
    rows = [{**ROW, "relation": r, "id": str(i)} for i, r in enumerate("ababcab")]
    rows[2]["head"] = {"start": 90, "end": 99}  # a bad row is a row of its relation
    data = lines([*rows[:3], "junk", *rows[3:]])
    _, found, total = parse(data, "x.jsonl", selection=Selection(frozenset("ab"), 2))
    assert total == 8
    assert [f.raw if isinstance(f.raw, str) else f.raw["id"] for f in found] == [
        "0", "1", "2", "junk", "3",
    ]  # fmt: skip


def test_selection_by_split() -> None:
    rows = [{**ROW, "split": s, "id": str(i)} for i, s in enumerate(["train", "test"] * 4)]
    rows.append({**ROW, "split": "validation", "id": "v"})
    selection = Selection(limits={"train": 1, "test": 2})
    _, found, _ = parse(lines(rows), "x.jsonl", selection=selection)
    assert [f.raw["id"] for f in found] == ["0", "1", "3", "v"]


@pytest.mark.parametrize("file", ["x.json", "x.jsonl"])
def test_counting_takes_no_row(file: str) -> None:
    data = json.dumps(FEWREL) if file == "x.json" else lines([ROW, ROW]) + b"junk\n"
    selection = Selection(nothing=True)
    _, found, total = parse(data, file, selection=selection)
    assert found == []
    assert total == (2 if file == "x.json" else 3)
    assert selection.seen == ({"P1", "P2"} if file == "x.json" else {"founded by"})
