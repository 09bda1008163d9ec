"""Marked sentences, against a writer that puts the marks in."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfcre.cli.marks import parse_marked
from cfcre.data.schema import Span
from cfcre.errors import ConfigurationError

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
ENTITY = TEXT.filter(str.strip)


def escape(text: str) -> str:
    return "".join("\\" + c if c in "[]{}\\" else c for c in text)


@given(TEXT, ENTITY, TEXT, ENTITY, TEXT, st.booleans())
def test_what_is_written_is_read(
    left: str, first: str, middle: str, second: str, right: str, head_first: bool
) -> None:
    a, b = ("[{}]", "{{{}}}") if head_first else ("{{{}}}", "[{}]")
    marked = escape(left) + a.format(escape(first)) + escape(middle)
    marked += b.format(escape(second)) + escape(right)
    example = parse_marked(marked)
    assert example.text == left + first + middle + second + right
    head, tail = (first, second) if head_first else (second, first)
    assert (example.head_text, example.tail_text) == (head, tail)
    assert example.head_first == head_first
    assert example.relation == ""


@given(TEXT)
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    assume(text)
    try:
        example = parse_marked(text)
    except ConfigurationError as error:
        assert "\n" not in str(error)
    else:
        assert example.head_text.strip()
        assert example.tail_text.strip()


def test_the_example_of_the_documentation() -> None:
    example = parse_marked("[Marie Curie] was born in {Warsaw}.")
    assert example.text == "Marie Curie was born in Warsaw."
    assert (example.head, example.tail) == (Span(0, 11), Span(24, 30))


def test_characters_are_counted_not_bytes() -> None:
    example = parse_marked("😀 [居里夫人] 生于 {华沙}")
    assert (example.head, example.tail) == (Span(2, 6), Span(10, 12))


def test_a_lone_backslash_is_a_backslash() -> None:
    assert parse_marked("C:\\new [a] {b} \\").text == "C:\\new a b \\"


@pytest.mark.parametrize(
    ("marked", "says"),
    [
        ("[Ada] wrote it.", "the tail is not marked"),
        ("{It} was written.", "the head is not marked"),
        ("nothing", "the head is not marked"),
        ("[a] [b] {c}", "more than one '['"),
        ("[a] {b} {c}", "more than one '{'"),
        ("[a {b} c]", "inside the head's marks"),
        ("{a [b] c}", "inside the tail's marks"),
        ("[a {b", "inside the head's marks"),
        ("[a} {b]", "closes nothing"),
        ("a] [b] {c}", "closes nothing"),
        ("{b} [a", "not closed"),
        ("[] {b}", "nothing stands between the head's marks"),
        ("[a] {  }", "nothing stands between the tail's marks"),
    ],
)
def test_what_is_wrong_is_said(marked: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="mark one head and one tail") as caught:
        parse_marked(marked)
    assert says in str(caught.value)
