from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from intake_samples import good_rows, lines, row

from cfcre.config import Settings, load_settings
from cfcre.data.schema import RelationExample
from cfcre.data.splits import assign_split
from cfcre.intake.formats import Selection, parse_rows
from cfcre.intake.rows import ROW_REASONS, RawBatch, read_raw, write_raw
from cfcre.intake.validation import RowsRejected, ValidationResult, validate_batch


def everything_fits(examples: Sequence[RelationExample]) -> list[bool]:
    return [True] * len(examples)


def batch(rows: list[Any] | bytes) -> RawBatch:
    data = rows if isinstance(rows, bytes) else lines(rows)
    _, found, _ = parse_rows(
        data, "f.jsonl", format="jsonl", declared=None, selection=Selection(),
        max_rows=10**6, max_bytes=10**9,
    )  # fmt: skip
    return RawBatch("s", "0" * 64, found)


def validate(rows: list[Any] | bytes, settings: Settings, **options: Any) -> ValidationResult:
    raw = batch(rows)
    options = {"fits": everything_fits, **options}
    try:
        result = validate_batch(raw, settings=settings, **options)
    except RowsRejected as error:
        assert error.counts["read"] == len(raw.rows)
        assert error.counts["quarantined"] == len(error.quarantined)
        assert error.counts["accepted"] + error.counts["quarantined"] == error.counts["read"]
        raise
    assert result.counts == {
        "read": len(raw.rows),
        "accepted": len(result.accepted),
        "quarantined": len(result.quarantined),
    }
    assert len(result.accepted) + len(result.quarantined) == len(raw.rows)
    assert sum(result.by_reason.values()) == len(result.quarantined)
    assert all(e.split is not None for e in result.accepted)
    return result


GOOD = good_rows("r", 12)
TEXT = "Ada founded Acme ."


def spans(head: tuple[int, int], tail: tuple[int, int], **more: Any) -> dict[str, Any]:
    return {
        "text": TEXT, "head": {"start": head[0], "end": head[1]},
        "tail": {"start": tail[0], "end": tail[1]}, "relation": "r", "split": "train", **more,
    }  # fmt: skip


def tokens(head: list[int], tail: list[int]) -> dict[str, Any]:
    return {"tokens": TEXT.split(), "head": head, "tail": tail, "relation": "r"}


BAD: list[tuple[Any, str, str]] = [
    (spans((12, 99), (0, 3)), "span_out_of_range", "[12, 99]"),
    (spans((-4, -1), (0, 3)), "span_out_of_range", "18"),
    (spans((99, 12), (0, 3)), "span_out_of_range", ""),
    (spans((10**30, 10**31), (0, 3)), "span_out_of_range", ""),
    (spans((12, 19), (0, 3)), "span_out_of_range", ""),
    (tokens([2, 5], [0, 1]), "span_out_of_range", "tokens of a sentence of 4"),
    (tokens([-1, 1], [2, 3]), "span_out_of_range", ""),
    (spans((12, 12), (0, 3)), "span_empty", "exclusive"),
    (spans((3, 4), (12, 16)), "span_empty", "white space"),
    (tokens([4, 4], [0, 1]), "span_empty", ""),
    ({**tokens([0, 1], [2, 3]), "tokens": ["", "x", "Acme"]}, "span_empty", "white space"),
    (spans((16, 12), (0, 3)), "span_inverted", "[16, 12]"),
    (tokens([3, 2], [0, 1]), "span_inverted", ""),
    (spans((0, 11), (4, 16)), "spans_overlap", "share"),
    (spans((0, 3), (0, 3)), "spans_overlap", ""),
    (tokens([0, 2], [1, 3]), "spans_overlap", ""),
    (spans((12, 16), (0, 3), relation=""), "empty_relation", "label"),
    (spans((12, 16), (0, 3), relation=" \t"), "empty_relation", ""),
    (spans((12, 16), (0, 3), relation="no_relation"), "no_relation_label", "no_relation"),
    (spans((12, 16), (0, 3), relation="Other"), "no_relation_label", ""),
    (spans((12, 16), (0, 3), relation="a\0b"), "invalid_relation_name", "control"),
    (spans((12, 16), (0, 3), relation="a\u200bb"), "invalid_relation_name", "invisible"),
    (spans((12, 16), (0, 3), relation=" r"), "invalid_relation_name", "white space"),
    (spans((12, 16), (0, 3), relation="x" * 201), "invalid_relation_name", "201"),
    (spans((12, 16), (0, 3), relation="hybrid:a"), "invalid_relation_name", "augmentation"),
    (spans((12, 16), (0, 3), relation="reversed:a"), "invalid_relation_name", "augmentation"),
    (spans((12, 16), (0, 3), split="dev"), "invalid_split", "validation"),
    (spans((12, 16), (0, 3), text=TEXT + "\ud83d"), "lone_surrogate", "surrogate"),
    (spans((12, 16), (0, 3), relation="\udc00"), "lone_surrogate", ""),
    (spans((12, 16), (0, 3), id="\udc00"), "lone_surrogate", ""),
    (spans((12, 16), (0, 3), text=TEXT + "x" * 20_000), "text_too_long", "20018"),
    ("text", "not_an_object", "str"),
    ({"text": "x"}, "missing_field", "head"),
    (spans((0, 1), (2, 3), text=5), "wrong_type", "5"),
    (GOOD[3], "duplicate", "f.jsonl:4"),
]


def test_every_bad_row_has_its_reason_and_the_good_ones_stay(settings: Settings) -> None:
    # ASCII escapes: the only way a lone surrogate gets into a file.
    data = "".join(json.dumps(r) + "\n" for r in [*GOOD, *(bad for bad, _, _ in BAD)]).encode()
    result = validate(data + b"{broken\n\xff\n", settings)
    assert [e.text for e in result.accepted] == [r["text"] for r in GOOD]
    expected = [(reason, word) for _, reason, word in BAD]
    expected += [("invalid_json", "JSON"), ("invalid_encoding", "UTF-8")]
    assert [q.reason for q in result.quarantined] == [reason for reason, _ in expected]
    for found, (_, word) in zip(result.quarantined, expected, strict=True):
        assert word in found.detail
        assert found.detail
        assert "\n" not in found.detail
        assert found.source == f"f.jsonl:{found.index + 1}"
    assert result.quarantined[0].raw == BAD[0][0]
    assert type(result.quarantined[0].index) is int  # not numpy's
    json.dumps([q.index for q in result.quarantined])


def test_too_long_for_encoder_is_decided_by_the_callback(settings: Settings) -> None:
    asked: list[RelationExample] = []

    def fits(examples: Sequence[RelationExample]) -> list[bool]:
        asked.extend(examples)
        return ["number 3 " not in e.text for e in examples]

    bad = [spans((12, 16), (0, 3), text=TEXT + "\ud83d"), spans((5, 5), (0, 3))]
    data = "".join(json.dumps(r) + "\n" for r in [*GOOD, *bad]).encode()
    result = validate(data, settings, fits=fits)
    assert [e.text for e in asked] == [r["text"] for r in GOOD]  # only rows it can read
    assert [q.reason for q in result.quarantined] == [
        "too_long_for_encoder", "lone_surrogate", "span_empty",
    ]  # fmt: skip
    assert result.quarantined[0].index == 3


def test_callback_that_forgets_a_row_is_a_defect(settings: Settings) -> None:
    with pytest.raises(RuntimeError):
        validate(GOOD, settings, fits=lambda examples: [True])


def test_conflicting_labels_quarantine_all_of_them(settings: Settings) -> None:
    first, second = GOOD[0], {**GOOD[0], "relation": "q"}
    result = validate([*GOOD, second, first], settings)
    found = [(q.index, q.reason) for q in result.quarantined]
    assert found == [(i, "conflicting_label") for i in (0, 12, 13)]
    assert "'q' in f.jsonl:13" in result.quarantined[0].detail
    assert "'r' in f.jsonl:1" in result.quarantined[1].detail


def test_a_refused_row_makes_no_conflict(settings: Settings) -> None:
    result = validate([*GOOD, {**GOOD[0], "relation": "NA"}], settings)
    assert [q.reason for q in result.quarantined] == ["no_relation_label"]


def test_direction_makes_another_row(settings: Settings) -> None:
    swapped = {**GOOD[0], "head": GOOD[0]["tail"], "tail": GOOD[0]["head"]}
    assert len(validate([*GOOD, swapped], settings).accepted) == 13


def test_token_and_text_form_of_one_row_are_duplicates(settings: Settings) -> None:
    words = GOOD[2]["text"].split()
    head, tail = words.index("Company2"), words.index("Owner2")
    again = {"tokens": words, "head": [head, head + 1], "tail": [tail, tail + 1], "relation": "r"}
    result = validate([*GOOD, {**again, "split": "test"}], settings)
    assert [(q.index, q.reason) for q in result.quarantined] == [(12, "duplicate")]


def test_rows_of_earlier_tasks(settings: Settings) -> None:
    rows = [*good_rows("r", 12), *good_rows("t", 12, split=None)]
    examples = [r.example for r in batch(rows).rows]
    by_hash = [i for i in range(12, 24) if (e := examples[i]) and assign_split(e).split == "test"]
    test_row = {**row("Bo met Al", "Bo", "Al", "r"), "split": "test"}
    rows.append(test_row)
    last = batch([test_row]).rows[0].example
    assert by_hash
    assert last is not None
    keys = [e.input_key for e in examples if e] + [last.input_key]
    easy = load_settings(
        home=settings.home, overrides={"intake.min_rows_per_relation": 1}, environ={}
    )
    result = validate(
        rows, easy, earlier_test_keys={keys[1]}, earlier_train_keys={*keys[2:24], keys[24]}
    )
    assert {q.index: q.reason for q in result.quarantined} == {
        1: "duplicate_of_earlier_test",
        **dict.fromkeys(by_hash, "test_row_seen_in_training"),
        24: "test_row_seen_in_training",
    }


def test_precedence_follows_the_documented_order(settings: Settings) -> None:
    worst = spans((99, 12), (0, 3), relation="", split="dev")
    result = validate([*GOOD, worst, spans((3, 3), (16, 12), relation="no_relation")], settings)
    assert [q.reason for q in result.quarantined] == ["span_out_of_range", "span_empty"]
    # One row that is conflicting, a duplicate and an earlier test row at once.
    keys = {e.input_key for r in batch([GOOD[0]]).rows if (e := r.example)}
    result = validate([*GOOD, GOOD[0]], settings, earlier_test_keys=keys)
    assert [(q.index, q.reason) for q in result.quarantined] == [
        (0, "duplicate_of_earlier_test"), (12, "duplicate"),
    ]  # fmt: skip


def test_texts_survive(settings: Settings) -> None:
    texts = [
        "[E11] Anna [E12] wohnt in Rom [E22] .",
        "<b>Anna</b> <script>alert('x')</script> & Rom",
        "A\0Anna\0 in Rom\0",
        "أنا Anna في Rom يعيش",
        "👩‍👩‍👧 Anna 🇩🇪 in Rom 😀",
        "安娜 Anna 住在 Rom 。",
        "Anna\u2028in\u2029Rom\x85 \x0b\x0c end",
        "e\u0301 Anna \ufeff Rom",
    ]
    rows = [row(t, "Anna", "Rom", "lives in", split="train") for t in texts]
    rows += good_rows("lives in", 10)
    result = validate(rows, settings)
    assert [e.text for e in result.accepted[: len(texts)]] == texts
    for example in result.accepted[: len(texts)]:
        assert (example.head_text, example.tail_text) == ("Anna", "Rom")


@pytest.mark.parametrize("count", [9, 10])
def test_too_few_rows_of_a_relation(settings: Settings, count: int) -> None:
    rows = [*good_rows("few", count), *good_rows("many", 20)]
    if count == 10:
        assert len(validate(rows, settings).accepted) == 30
        return
    with pytest.raises(RowsRejected) as caught:
        validate([*rows, "junk"], settings)
    assert caught.value.reason == "too_few_rows"
    assert "'few' has 9" in caught.value.detail
    assert "many" not in caught.value.detail
    assert caught.value.counts == {"read": 30, "accepted": 29, "quarantined": 1}
    assert [q.reason for q in caught.value.quarantined] == ["not_an_object"]


def test_too_few_training_rows(settings: Settings) -> None:
    rows = [*good_rows("r", 12, split="test"), *good_rows("q", 12)]
    with pytest.raises(RowsRejected, match="0 to train"):
        validate(rows, settings)


def test_no_usable_row_and_no_row(settings: Settings) -> None:
    with pytest.raises(RowsRejected) as caught:
        validate(["a", "b"], settings)
    assert (caught.value.reason, caught.value.counts["quarantined"]) == ("too_few_rows", 2)
    with pytest.raises(RowsRejected) as caught:
        validate([], settings)
    assert (caught.value.reason, caught.value.counts["read"]) == ("empty_batch", 0)


def test_a_relation_that_lost_all_its_rows_does_not_vanish(settings: Settings) -> None:
    lost = [{**r, "head": r["tail"]} for r in good_rows("lost", 10)]
    with pytest.raises(RowsRejected, match="'lost' has 0"):
        validate([*GOOD, *lost], settings)
    assert len(validate([*GOOD, *lost[:9]], settings).quarantined) == 9  # stray bad rows do not


def test_data_docs_show_no_text_of_the_batch_as_html(settings: Settings, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> $x {{ 7*7 }}"
    rows = good_rows(evil, 12)
    rows += [{**r, "relation": evil + "2"} for r in good_rows("q", 5)]
    raw = batch([*rows, spans((9, 2), (0, 3), relation=evil)])
    raw.rows[-1].source = "<img src=x>.jsonl:18"
    with pytest.raises(RowsRejected) as caught:
        validate_batch(raw, settings=settings, fits=everything_fits, docs_dir=tmp_path / "docs")
    assert caught.value.docs_index == tmp_path / "docs/index.html"
    pages = [p.read_text("utf-8") for p in (tmp_path / "docs").rglob("*.html")]
    assert len(pages) >= 4
    assert any("expect_column_values" in p or "values must be" in p for p in pages)
    assert not any("<script>alert" in p or "<img src=x>" in p for p in pages)
    assert any("&lt;script&gt;alert(1)" in p for p in pages)  # it is shown, as text


def test_large_batches_are_judged_whole(settings: Settings) -> None:

    rows = [r for i in range(30) for r in good_rows(f"relation {i}", 1000)]
    for number in range(0, 30_000, 3):
        rows[number]["head"] = rows[number]["tail"]
    raw = batch(rows)
    result = validate_batch(raw, settings=settings, fits=everything_fits)
    assert result.by_reason == {"spans_overlap": 10_000}


def test_raw_batches_survive_their_file(settings: Settings, tmp_path: Path) -> None:
    odd = [b for b, _, _ in BAD]
    data = "".join(json.dumps(r) + "\n" for r in [*GOOD, *odd]).encode() + b"{x\n\xff\n1e999\n"
    raw = batch(data)
    raw.descriptions["r"] = "what\u2028it means"
    write_raw(tmp_path / "raw.jsonl", raw)
    again = read_raw(tmp_path / "raw.jsonl")
    assert again.rows[-1].raw == "inf"
    raw.rows[-1].raw = "inf"
    assert again == raw
    first, second = (
        validate_batch(b, settings=settings, fits=everything_fits) for b in (raw, again)
    )
    assert first == second
    assert {q.reason for q in first.quarantined} <= set(ROW_REASONS)
