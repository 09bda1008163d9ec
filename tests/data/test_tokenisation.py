"""Markers come from spans, never from text; nothing is cut without saying so."""

from __future__ import annotations

import numpy as np
import pytest

from cfcre.data.schema import RelationExample, Span
from cfcre.data.tokenisation import EncodedExamples, fits, load_tokenizer
from cfcre.errors import DataError


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return load_tokenizer(str(tiny_encoder))


def example(text, head, tail, relation="r"):
    h, t = text.index(head), text.rindex(tail)
    return RelationExample(text, Span(h, h + len(head)), Span(t, t + len(tail)), relation)


def words(tokenizer, encoded, row=0):
    ids = encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]]
    names = dict(zip(tokenizer.marker_ids, ("<E11>", "<E12>", "<E21>", "<E22>"), strict=True))
    return [names.get(int(i)) or tokenizer._backend.id_to_token(int(i)) for i in ids]


def test_markers_surround_the_entities(tokenizer):
    encoded = tokenizer.encode([example("last year ada founded riga", "ada", "riga")], 64)
    assert words(tokenizer, encoded) == (
        "[CLS] last year <E11> ada <E12> founded <E21> riga <E22> [SEP]".split()
    )
    assert encoded.head[0] == 3 and encoded.tail[0] == 7


def test_tail_before_head_keeps_the_direction(tokenizer):
    text = "riga founded ada"
    row = RelationExample(text, Span(13, 16), Span(0, 4), "r")
    encoded = tokenizer.encode([row], 64)
    assert words(tokenizer, encoded) == (
        "[CLS] <E21> riga <E22> founded <E11> ada <E12> [SEP]".split()
    )
    assert encoded.head[0] == 5 and encoded.tail[0] == 1


@pytest.mark.parametrize("literal", ["[E11]", "[E21]", "[SEP]", "[CLS]", "[MASK]", "[PAD]"])
def test_marker_strings_in_text_are_text(tokenizer, literal):
    plain = tokenizer.encode([example("ada owns riga", "ada", "riga")], 64)
    encoded = tokenizer.encode([example(f"{literal} ada {literal} riga", "ada", "riga")], 64)
    ids = encoded.ids.tolist()
    markers = set(tokenizer.marker_ids)
    assert [i for i in ids if i in markers] == list(tokenizer.marker_ids)
    specials = [plain.ids[0], plain.ids[-1]]
    assert [i for i in ids if i in specials] == specials
    assert tokenizer._backend.token_to_id("[MASK]") not in ids


@pytest.mark.parametrize(
    "text",
    [
        "ada\x00 <b>owns</b> riga",
        "ada مالك riga",
        "ada 🧑‍🚀 riga",
        "ada 拥有 riga",
        "ada\u2028\u200briga",
    ],
)
def test_any_text_is_read_and_offsets_hold(tokenizer, text):
    row = example(text, "ada", "riga")
    encoded = tokenizer.encode([row], 64)
    read = words(tokenizer, encoded)
    assert read[read.index("<E11>") + 1] == "ada" and read[read.index("<E21>") + 1] == "riga"


def test_long_context_is_windowed_around_both_entities(tokenizer):
    text = "year " * 100 + "ada owns riga" + " spring" * 100
    encoded = tokenizer.encode([example(text, "ada", "riga")], 32)
    read = words(tokenizer, encoded)
    assert len(read) == 32 and encoded.windowed[0]
    assert read[0] == "[CLS]" and read[-1] == "[SEP]"
    assert "ada" in read and "riga" in read
    assert read.count("year") in (11, 12) and read.count("spring") in (11, 12)


def test_window_uses_the_room_the_short_side_leaves(tokenizer):
    encoded = tokenizer.encode([example("ada owns riga" + " spring" * 100, "ada", "riga")], 32)
    assert len(words(tokenizer, encoded)) == 32
    encoded = tokenizer.encode([example("year " * 100 + "ada owns riga", "ada", "riga")], 32)
    assert len(words(tokenizer, encoded)) == 32


def test_entities_too_far_apart_are_an_error_that_names_the_row(tokenizer):
    row = example("ada " + "owns " * 60 + "riga", "ada", "riga")
    assert fits(tokenizer, [row, example("ada owns riga", "ada", "riga")], 32) == [False, True]
    with pytest.raises(DataError, match="row 0: head and tail are 66 word pieces apart"):
        tokenizer.encode([row], 32)


def test_fits_says_exactly_when_encode_succeeds(tokenizer):
    for n in range(20, 30):
        row = example("ada " + "owns " * n + "riga", "ada", "riga")
        if fits(tokenizer, [row], 32)[0]:
            assert tokenizer.encode([row], 32).lengths[0] <= 32
        else:
            with pytest.raises(DataError):
                tokenizer.encode([row], 32)


def test_first_rows_are_a_prefix(tokenizer):
    rows = [example(f"ada owns riga {i}", "ada", "riga") for i in range(5)]
    some, alone = tokenizer.encode(rows, 64).head_rows(2), tokenizer.encode(rows[:2], 64)
    assert some.ids.tolist() == alone.ids.tolist() and len(some) == 2


def test_joined_packings_are_the_packing_of_all(tokenizer, relation_rows):
    rows = relation_rows(["owns", "wrote"], 5)
    parts = [tokenizer.encode(part, 64) for part in (rows[:3], rows[3:4], rows[4:])]
    joined, whole = EncodedExamples.joined(parts), tokenizer.encode(rows, 64)
    for name in ("ids", "offsets", "head", "tail", "windowed"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert joined.pad_id == whole.pad_id
