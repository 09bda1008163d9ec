"""Canonical rows, atomic files and content-hash splits."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcre.data.files import atomic_directory, read_examples, write_examples, write_json
from cfcre.data.schema import RelationExample, Span, example_from_tokens
from cfcre.data.splits import assign_split
from cfcre.errors import DataError

texts = st.text(min_size=6, max_size=40).filter(
    lambda t: not any(0xD800 <= ord(c) <= 0xDFFF for c in t)
)


@given(texts)
def test_any_text_survives_the_file(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    row = RelationExample(text, Span(0, 2), Span(3, 6), "r\u2028é")
    write_examples(path, [row, row])
    back = read_examples(path)
    assert back == [row, row] and back[0].head_text == text[:2]


def test_token_rows_become_character_rows():
    row = example_from_tokens(["The", "café", "in", "São", "Paulo"], (1, 2), (3, 5), "in")
    assert (row.text, row.head_text, row.tail_text) == (
        "The café in São Paulo",
        "café",
        "São Paulo",
    )


@pytest.mark.parametrize("span", [(0, 0), (2, 1), (0, 4), (-1, 1)])
def test_token_spans_out_of_range_are_refused(span):
    with pytest.raises(IndexError):
        example_from_tokens(["a", "b", "c"], span, (0, 1), "r")


def test_keys_tell_direction_and_label_apart():
    row = RelationExample("ab cd", Span(0, 2), Span(3, 5), "r")
    swapped = RelationExample("ab cd", Span(3, 5), Span(0, 2), "r")
    relabelled = RelationExample("ab cd", Span(0, 2), Span(3, 5), "s", id="x")
    assert row.input_key != swapped.input_key
    assert row.input_key == relabelled.input_key and row.content_key != relabelled.content_key


def test_split_is_a_function_of_the_row_and_near_3_1_1():
    rows = [RelationExample(f"a{i} b", Span(0, 1), Span(3, 4), "r") for i in range(3000)]
    splits = [assign_split(r).split for r in rows]
    assert splits == [assign_split(r).split for r in reversed(rows)][::-1]
    counts = Counter(splits)
    assert 0.57 < counts["train"] / 3000 < 0.63 and 0.17 < counts["test"] / 3000 < 0.23


def test_declared_split_is_kept():
    row = RelationExample("a b", Span(0, 1), Span(2, 3), "r", split="validation")
    assert assign_split(row).split == "validation"


def test_failed_directory_leaves_the_old_one(tmp_path):
    target = tmp_path / "state"
    with atomic_directory(target) as partial:
        (partial / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(target) as partial:
        (partial / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["state"]


def test_nan_is_refused_rather_than_written_as_invalid_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_damaged_rows_are_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "x"}) + "\n")
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        read_examples(path)
