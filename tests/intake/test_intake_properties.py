"""What must hold for any input: no row is lost, no offset moves, nothing crashes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfcre.config import load_settings
from cfcre.data.schema import example_from_tokens
from cfcre.errors import BatchRejected, DataError
from cfcre.intake.compression import decompress
from cfcre.intake.formats import FORMATS, Selection, parse_rows
from cfcre.intake.manifest import parse_manifest
from cfcre.intake.rows import ROW_REASONS, RawBatch, RawRow
from cfcre.intake.store import safe_key
from cfcre.intake.validation import RowsRejected, ValidationResult, validate_batch

EASY = load_settings(
    home="unused",
    overrides={"intake.min_rows_per_relation": 1, "intake.min_train_rows_per_relation": 1},
    environ={},
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=6,
)
offsets = st.integers(-2, 9) | values
spans = st.fixed_dictionaries({}, optional={"start": offsets, "end": offsets}) | st.lists(
    offsets, max_size=3
)
almost_rows = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=9) | values,
        "tokens": st.lists(st.text(max_size=3), max_size=5) | values,
        "head": spans | values,
        "tail": spans | values,
        "relation": st.sampled_from(["a", "b", "NA", " ", "hybrid:x", "\ud800"]) | values,
        "split": st.sampled_from(["train", "test", "dev"]) | values,
        "id": values,
    },
)
json_lines = (almost_rows | values).map(lambda v: json.dumps(v).encode())
raw_lines = json_lines | st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))


def parse(data: bytes, format: str | None = "jsonl", file: str = "f") -> tuple[list[RawRow], int]:
    _, rows, total = parse_rows(
        data, file, format=format, declared=None, selection=Selection(),
        max_rows=10**6, max_bytes=10**8,
    )  # fmt: skip
    return rows, total


def judge(rows: list[RawRow]) -> ValidationResult | RowsRejected:
    try:
        return validate_batch(
            RawBatch("s", "0" * 64, rows), settings=EASY, fits=lambda e: [True] * len(e)
        )
    except RowsRejected as error:
        return error


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(raw_lines, min_size=1, max_size=25))
def test_accepted_and_quarantined_are_read(content: list[bytes]) -> None:
    rows, total = parse(b"\n".join(content))
    # The oracle: lines that are not empty. A byte order mark is only removed at the start.
    whole = b"\n".join(content).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert total == len(rows) == sum(bool(line.strip()) for line in whole)
    result = judge(rows)
    assert result.counts["read"] == total
    assert result.counts["accepted"] + result.counts["quarantined"] == total
    assert len(result.quarantined) == result.counts["quarantined"]
    assert all(q.reason in ROW_REASONS and q.detail for q in result.quarantined)
    if isinstance(result, ValidationResult):
        assert len(result.accepted) == result.counts["accepted"]
        for example in result.accepted:
            assert example.head_text.strip()
            assert example.tail_text.strip()
            assert example.head.end <= example.tail.start or example.tail.end <= example.head.start


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_text_offsets_survive(data: st.DataObject) -> None:
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=40))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=4)))
    first, second = (cuts[0], cuts[1]), (cuts[-2], cuts[-1])
    row = {"text": text, "head": list(second), "tail": list(first), "relation": "r"}
    for ascii_only in (True, False):
        (found,), _ = parse(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n")
        blank = any(text[a:b].isspace() for a, b in (first, second))
        if len(cuts) == 4 or (len(cuts) == 3 and cuts[1] == cuts[-2]):
            assert (found.example is None) == blank
        if found.example is not None:
            assert found.example.text == text
            assert found.example.head_text == text[second[0] : second[1]]
            assert found.example.tail_text == text[first[0] : first[1]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=4), min_size=2, max_size=8), st.data())
def test_token_spans_agree_with_the_schema(tokens: list[str], data: st.DataObject) -> None:
    middle = data.draw(st.integers(1, len(tokens) - 1))
    head = (data.draw(st.integers(0, middle - 1)), middle)
    tail = (middle, data.draw(st.integers(middle + 1, len(tokens))))
    row = {"tokens": tokens, "head": list(head), "tail": list(tail), "relation": "r"}
    (found,), _ = parse(json.dumps(row).encode())
    if found.example is None:
        assert any(not "".join(tokens[a:b]).strip() for a, b in (head, tail))
    else:
        assert found.example == example_from_tokens(tokens, head, tail, "r")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | values.map(lambda v: json.dumps(v).encode()), st.data())
def test_junk_files_are_rows_or_a_rejection(content: bytes, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([None, *FORMATS]))
    file = data.draw(st.sampled_from(["f.json", "f.jsonl", "f.csv", "f.txt", "f.parquet", "f"]))
    try:
        rows, total = parse(content, name, file)
    except BatchRejected as error:
        assert error.detail
    else:
        assert len(rows) == total
        assert all(r.example is not None or r.problem or r.reading for r in rows)


@settings(max_examples=150, deadline=None)
@given(values.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=50))
def test_junk_manifests_are_rejected(content: bytes) -> None:
    try:
        parse_manifest(content)
    except BatchRejected as error:
        assert error.reason in ("manifest_invalid", "manifest_key_outside")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_junk_gzip_is_rejected(content: bytes) -> None:
    try:
        decompress(b"\x1f\x8b" + content, "f.gz", max_bytes=10**6, max_ratio=200)
    except BatchRejected as error:
        assert error.reason in ("truncated_gzip", "unreadable_file")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", "a", "", ".", "\\"])).map("/".join))
def test_safe_keys_stay_inside(key: str) -> None:
    import posixpath

    try:
        safe_key(key)
    except DataError:
        return
    joined: Any = posixpath.normpath(posixpath.join("/root/store", key))
    assert joined == f"/root/store/{key}"
