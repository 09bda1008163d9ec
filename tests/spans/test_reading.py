"""Documents from outside: every rule has a reason that names the document; none is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.config import IntakeSettings
from cfcre.errors import DataError
from cfcre.spans.checks import DOCUMENT_REASONS, Refusal, build_document
from cfcre.spans.documents import Entity, LabelTypes, Relation
from cfcre.spans.preparing import prepare
from cfcre.spans.reading import read_documents
from cfcre.spans.word_pieces import load_word_pieces

GOOD = {
    "tokens": ["Anna", "works", "for", "Acme", "Inc"],
    "entities": [
        {"type": "Peop", "start": 0, "end": 1},
        {"type": "Org", "start": 3, "end": 5},
    ],
    "relations": [{"type": "Work", "head": 0, "tail": 1}],
    "orig_id": 17,
}


def changed(**fields):
    return {**json.loads(json.dumps(GOOD)), **fields}


def entity(start, end, type="Peop"):
    return {"start": start, "end": end, "type": type}


BAD = [
    ("not_an_object", ["Anna"]),
    ("missing_field", {k: v for k, v in GOOD.items() if k != "tokens"}),
    ("missing_field", {k: v for k, v in GOOD.items() if k != "relations"}),
    ("missing_field", changed(entities=[{"start": 0, "type": "Peop"}])),
    ("missing_field", changed(entities=[{"start": 0, "end": 1}], relations=[])),
    ("missing_field", changed(relations=[{"type": "Work", "head": 0}])),
    ("wrong_type", changed(text="both")),
    ("wrong_type", changed(tokens="Anna works")),
    ("wrong_type", changed(tokens=["Anna", 3])),
    ("wrong_type", changed(entities={"a": 1})),
    ("wrong_type", changed(entities=[[0, 1]])),
    ("wrong_type", changed(entities=[entity(0, 1.0)], relations=[])),
    ("wrong_type", changed(entities=[entity(True, 2)], relations=[])),
    ("wrong_type", changed(entities=[entity(0, 1, "  ")], relations=[])),
    ("wrong_type", changed(relations=["Work"])),
    ("wrong_type", changed(relations=[{"type": "Work", "head": "0", "tail": 1}])),
    ("lone_surrogate", changed(tokens=["Anna", "\ud800", "x", "y", "z"])),
    ("text_too_long", changed(tokens=["x" * 1001] * 5)),
    ("empty_text", changed(tokens=[], entities=[], relations=[])),
    ("empty_text", {"text": " \x00 ", "entities": [], "relations": []}),
    ("span_out_of_range", changed(entities=[entity(3, 6)], relations=[])),
    ("span_out_of_range", changed(entities=[entity(-1, 2)], relations=[])),
    ("span_out_of_range", changed(entities=[entity(0, 10**30)], relations=[])),
    ("span_out_of_range", changed(relations=[{"type": "Work", "head": 0, "tail": 2}])),
    ("span_out_of_range", changed(relations=[{"type": "Work", "head": -1, "tail": 1}])),
    ("span_empty", changed(entities=[entity(2, 2)], relations=[])),
    ("span_inverted", changed(entities=[entity(3, 1)], relations=[])),
    ("unknown_entity_type", changed(entities=[entity(0, 1, "Animal")], relations=[])),
    ("duplicate_span", changed(entities=[entity(0, 1), entity(0, 1)], relations=[])),
    ("duplicate_span", changed(entities=[entity(0, 1), entity(0, 1, "Org")], relations=[])),
    ("relation_to_itself", changed(relations=[{"type": "Work", "head": 1, "tail": 1}])),
    ("unknown_relation_type", changed(relations=[{"type": "Own", "head": 0, "tail": 1}])),
    (
        "span_not_on_words",
        {"text": "Anna works", "entities": [entity(0, 2)], "relations": []},
    ),
]


def write(path, documents, lines=False):
    if lines:
        path.write_text("".join(json.dumps(d) + "\n" for d in documents))
    else:
        path.write_text(json.dumps(documents))
    return path


LIMITS = IntakeSettings(max_text_chars=1000)


@pytest.mark.parametrize(("reason", "document"), BAD)
@pytest.mark.parametrize("lines", [False, True])
def test_a_bad_document_is_named_with_its_reason(tmp_path, label_types, reason, document, lines):
    path = write(tmp_path / "docs.json", [GOOD, document], lines)
    with pytest.raises(DataError) as caught:
        read_documents(path, label_types, LIMITS)
    message = str(caught.value)
    place = "docs.json:2" if lines else "docs.json[1]"
    assert message.startswith(place) and f": {reason}: " in message
    assert "\n" not in message and "1 of 2 documents" in message
    if isinstance(document, dict) and "orig_id" in document:
        assert "(id 17)" in message

    reading = read_documents(path, label_types, LIMITS, on_error="quarantine")
    assert reading.counts == {"read": 2, "accepted": 1, "refused": 1, "merged_relations": 0}
    assert (reading.refused[0].reason, reading.refused[0].raw) == (reason, document)


def test_all_reasons_are_tested():
    tested = {reason for reason, _ in BAD}
    assert tested == set(DOCUMENT_REASONS) - {"invalid_json", "too_long_for_encoder"}


def test_a_line_that_is_not_json_is_one_refused_document(tmp_path, label_types):
    path = tmp_path / "docs.jsonl"
    path.write_text(json.dumps(GOOD) + "\n{not json}\n\n" + '{"tokens": [NaN]}\n')
    reading = read_documents(path, label_types, on_error="quarantine")
    assert [r.source for r in reading.refused] == ["docs.jsonl:2", "docs.jsonl:4"]
    assert {r.reason for r in reading.refused} == {"invalid_json"}
    assert reading.counts["accepted"] == 1


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[{]", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[]", "holds no document"),
        (b"\n \n", "holds no document"),
        (json.dumps([{"tokens": 1}]).encode(), "1 of 1 documents are refused"),
    ],
)
def test_a_file_that_holds_nothing_usable(tmp_path, label_types, content, match):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        read_documents(path, label_types, on_error="quarantine")


def test_files_are_bounded(tmp_path, label_types):
    path = write(tmp_path / "docs.json", [GOOD] * 3)
    with pytest.raises(DataError, match=r"intake\.max_rows is 2"):
        read_documents(path, label_types, IntakeSettings(max_rows=2))
    with pytest.raises(DataError, match=r"intake\.max_object_bytes is 10"):
        read_documents(path, label_types, IntakeSettings(max_object_bytes=10))
    with pytest.raises(DataError, match="cannot read missing"):
        read_documents(tmp_path / "missing.json", label_types)


def test_a_good_document(tmp_path, label_types):
    (document,) = read_documents(write(tmp_path / "d.json", [GOOD]), label_types).documents
    assert document.words == ("Anna", "works", "for", "Acme", "Inc")
    assert document.entities == (Entity(0, 1, "Peop"), Entity(3, 5, "Org"))
    assert document.relations == (Relation(0, 1, "Work"),)
    assert (document.id, document.text[slice(*document.characters(3, 5))]) == ("17", "Acme Inc")


def test_a_document_in_text_counts_characters(label_types):
    text = "Élan: 👩‍🚀 Anna works for Acme."
    start = text.index("Anna")
    firm = text.index("Acme")
    made = build_document(
        {
            "text": text,
            "entities": [entity(start, start + 4), entity(firm, firm + 4, "Org")],
            "relations": [{"type": "Work", "head": 0, "tail": 1}],
        },
        label_types,
        1000,
    )
    assert not isinstance(made, Refusal)
    document, _ = made
    surfaces = [text[slice(*document.characters(e.start, e.end))] for e in document.entities]
    assert surfaces == ["Anna", "Acme"]


def test_a_relation_that_holds_both_ways_is_kept_once_and_counted(label_types):
    relations = [
        {"type": "Know", "head": 1, "tail": 0},
        {"type": "Know", "head": 0, "tail": 1},
        {"type": "Work", "head": 1, "tail": 0},
        {"type": "Work", "head": 1, "tail": 0},
    ]
    made = build_document(changed(relations=relations), label_types, 1000)
    assert not isinstance(made, Refusal)
    document, merged = made
    assert document.relations == (Relation(0, 1, "Know"), Relation(1, 0, "Work"))
    assert merged == 2


def test_a_document_too_long_for_the_encoder_is_refused_not_cut(
    tmp_path, label_types, span_encoder
):
    long = changed(tokens=["abcdefgh"] * 40, entities=[], relations=[], orig_id="long")
    path = write(tmp_path / "d.json", [GOOD, long])
    tokenizer = load_word_pieces(span_encoder)
    sizes = {"max_length": 64, "max_width": 10}
    with pytest.raises(DataError, match=r"d\.json\[1\] \(id long\): too_long_for_encoder"):
        prepare(read_documents(path, label_types), label_types, tokenizer, **sizes)
    reading = read_documents(path, label_types, on_error="quarantine")
    made = prepare(reading, label_types, tokenizer, **sizes, on_error="quarantine")
    assert len(made.encoded) == len(made.documents) == 1
    assert reading.counts["refused"] == 1 and reading.counts["read"] == 2


def test_entities_wider_than_any_span_are_counted(tmp_path, label_types, span_encoder):
    wide = changed(entities=[entity(0, 4), entity(4, 5, "Org")])
    reading = read_documents(write(tmp_path / "d.json", [wide]), label_types)
    made = prepare(reading, label_types, load_word_pieces(span_encoder), max_length=64, max_width=3)
    assert (made.trainable.wide_entities, made.trainable.wide_relations) == (1, 1)
    assert len(made.trainable.entity_type) == 1 and len(made.gold.entity_type) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tokens", "text", "entities", "relations", "start", "end", "type", "head", "tail"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_whatever_is_parsed_is_a_document_or_refused(raw):
    made = build_document(raw, LabelTypes(("Peop",), ("Work",)), 1000)
    if isinstance(made, Refusal):
        assert made.reason in DOCUMENT_REASONS and "\n" not in made.detail
    else:
        assert made[0].words


class TestTypes:
    def test_are_read_from_sperts_file(self, tmp_path):
        path = tmp_path / "types.json"
        path.write_text(
            '{"entities": {"B": {"short": "b"}, "A": {}},'
            ' "relations": {"R": {"symmetric": true}, "Q": {}}}'
        )
        types = LabelTypes.read(path)
        assert types == LabelTypes(("B", "A"), ("R", "Q"), frozenset({"R"}))
        assert LabelTypes.from_json(types.to_json(), "x") == types
        assert types.entity_number == {"B": 1, "A": 2}

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            '{"entities": {}, "relations": {}}',
            '{"entities": {"A": {}}}',
            '{"entities": {"A": 1}, "relations": {}}',
            '{"entities": {"A": {}}, "relations": {"R": {"symmetric": 1}}}',
        ],
    )
    def test_another_form_is_an_error(self, tmp_path, text):
        path = tmp_path / "types.json"
        path.write_text(text)
        with pytest.raises(DataError, match=r"types\.json"):
            LabelTypes.read(path)

    def test_can_be_taken_from_the_documents(self, make_documents):
        types = LabelTypes.of(make_documents(40, 1))
        assert types == LabelTypes(("Loc", "Org", "Peop"), ("Know", "Live", "Work"))
