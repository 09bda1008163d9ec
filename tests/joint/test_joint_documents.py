"""Reading a batch of documents, keeping them, and putting the batches together."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_cases import bad_documents, make_documents

from cfcre.config import Settings, load_settings
from cfcre.data.splits import split_of
from cfcre.errors import BatchRejected, ConfigurationError, DataError
from cfcre.intake.folder import FolderStore
from cfcre.intake.inbox import PendingBatch, discover
from cfcre.intake.span_documents import DocumentBatch, read_document_batch
from cfcre.intake.submit import SubmitFile, submit_batch
from cfcre.operations.joint.memory import in_split, joined, require_corpus
from cfcre.spans.checks import Refusal, build_document
from cfcre.spans.documents import Document, Entity, Relation
from cfcre.spans.storing import (
    StoredDocument,
    document_from_json,
    document_to_json,
    documents_from_lines,
    documents_to_lines,
    words_key,
)

SETTINGS = load_settings(environ={}, overrides={"spans.max_length": 64})


def words(documents: Any) -> list[int]:
    return [len(document.words) + 2 for document in documents]


class Memory:
    """A store with one object; a batch's stages read nothing else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, key: str, *, limit: int) -> bytes:
        return self.data


def read(data: bytes, name: str = "d.json", options: Settings = SETTINGS) -> DocumentBatch:
    pending = PendingBatch(
        stream="s.documents",
        name=name,
        keys=(f"inbox/s.documents/{name}",),
        batch_hash=hashlib.sha256(data).hexdigest(),
        sequence=None,
        submitted_at="",
        problem=None,
        manifest_key=None,
    )
    return read_document_batch(Memory(data), pending, settings=options, word_pieces=words)


def test_each_bad_document_has_its_reason_and_its_name(relation_rows) -> None:
    good, bad = make_documents(relation_rows, ["owns", "wrote"], 5, 1), bad_documents()
    batch = read(json.dumps([*good, *bad.values()]).encode())
    assert batch.counts == {
        "read": len(good) + len(bad),
        "accepted": len(good),
        "quarantined": len(bad),
    }
    assert {row.reason: row.raw for row in batch.quarantined} == bad
    for number, row in enumerate(batch.quarantined, start=len(good)):
        assert row.source.startswith(f"d.json[{number}]")
        if isinstance(row.raw, dict) and "orig_id" in row.raw:
            assert row.source.endswith(f"(id {row.raw['orig_id']})")


def test_texts_that_come_twice(relation_rows) -> None:
    first, second = make_documents(relation_rows, ["owns"], 2, 1)
    reordered = {
        **first,
        "entities": first["entities"][::-1],
        "relations": [{"head": 1, "tail": 0, "type": "owns"}],
    }
    other = {**first, "relations": []}
    batch = read(json.dumps([first, second, first, reordered, other]).encode())
    assert [(r.index, r.reason) for r in batch.quarantined] == [
        (2, "duplicate"),
        (3, "duplicate"),
        (4, "conflicting_label"),
    ]
    assert "d.json[0]" in batch.quarantined[2].detail


def test_splits_are_declared_or_drawn_from_the_words_alone(relation_rows) -> None:
    documents = make_documents(relation_rows, ["owns", "wrote"], 20, 1)
    documents[0]["split"] = "test"
    batch = read(json.dumps(documents).encode())
    random.Random(5).shuffle(documents)
    again = read(json.dumps(documents).encode())
    found, other = ({words_key(s.document): s.split for s in b.accepted} for b in (batch, again))
    assert found == other
    assert batch.accepted[0].split == "test"
    for stored in batch.accepted[1:]:
        assert stored.split == split_of(words_key(stored.document))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_are_read_as_a_list_is(pack: Any, relation_rows) -> None:
    documents = make_documents(relation_rows, ["owns"], 4, 1)
    lines = "".join(json.dumps(d) + "\n" for d in documents) + "{broken\n"
    batch = read(pack(lines.encode()), "d.jsonl")
    assert batch.counts == {"read": 5, "accepted": 4, "quarantined": 1}
    assert batch.quarantined[0].reason == "invalid_json"
    assert batch.quarantined[0].source == "d.jsonl:5"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "empty_batch"),
        (b"[{]", "unreadable_file"),
        (b"\xff\xfe", "unreadable_file"),
        (gzip.compress(b"[]" * 2_000_000), "decompression_ratio"),
    ],
)
def test_a_batch_that_can_not_be_read(data: bytes, reason: str) -> None:
    with pytest.raises(BatchRejected) as caught:
        read(data)
    assert caught.value.reason == reason


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_LIKE_ONE = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.lists(st.text(max_size=3), max_size=4) | _JSON,
        "entities": st.lists(
            st.fixed_dictionaries(
                {
                    "start": st.integers(-1, 4),
                    "end": st.integers(-1, 4),
                    "type": st.text(max_size=2),
                }
            ),
            max_size=3,
        )
        | _JSON,
        "relations": st.lists(
            st.fixed_dictionaries(
                {
                    "head": st.integers(-1, 3),
                    "tail": st.integers(-1, 3),
                    "type": st.text(max_size=2),
                }
            ),
            max_size=2,
        )
        | _JSON,
        "orig_id": _JSON,
        "split": st.sampled_from(["train", "test", "dev", 3, []]),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_LIKE_ONE | _JSON, min_size=1, max_size=6))
def test_no_document_is_lost_and_what_is_accepted_can_be_kept(documents: list[Any]) -> None:
    batch = read(json.dumps(documents).encode())
    assert batch.counts["read"] == len(documents)
    assert [r.raw for r in batch.quarantined] == [documents[r.index] for r in batch.quarantined]
    kept = documents_from_lines(documents_to_lines(batch.accepted), "kept")
    assert kept == batch.accepted


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=30), st.data())
def test_a_text_is_read_again_with_its_words_and_offsets(text: str, data: st.DataObject) -> None:
    made = build_document({"text": text, "entities": [], "relations": [], "id": 7}, None, 100)
    if isinstance(made, Refusal):
        return
    plain = made[0]
    start = data.draw(st.integers(0, len(plain.words) - 1))
    end = data.draw(st.integers(start + 1, len(plain.words)))
    document = Document(
        plain.words,
        (Entity(start, end, "T"),),
        (),
        plain.id,
        plain.given_text,
        plain.given_offsets,
    )
    assert document_from_json(json.loads(json.dumps(document_to_json(document))), "x") == document


def test_damaged_documents_are_named() -> None:
    for data in (b"{", b'{"split": "dev", "batch": "", "document": {}}', b"\xff"):
        with pytest.raises(DataError, match=r"key is damaged|key:1 is damaged"):
            documents_from_lines(data, "key")


def stored(text: str, split: Any, label: str = "owns") -> StoredDocument:
    entities = (Entity(0, 1, "A"), Entity(2, 3, "B"))
    return StoredDocument(
        Document(tuple(text.split()), entities, (Relation(0, 1, label),)), split, text
    )


def test_a_text_keeps_its_first_split_and_gets_its_newest_labels() -> None:
    first = [stored("a x b", "test"), stored("c x d", "train")]
    second = [stored("a x b", "train", "wrote"), stored("e x f", "test")]
    found = joined([first, second], SETTINGS)
    assert [(s.document.words[0], s.split, s.document.relations[0].type) for s in found] == [
        ("a", "test", "wrote"),
        ("c", "train", "owns"),
        ("e", "test", "owns"),
    ]
    assert len(in_split(found, "train")) == 1


def test_relations_that_hold_both_ways_are_kept_from_the_first_entity() -> None:
    options = load_settings(environ={}, overrides={"joint.symmetric_relations": ["owns"]})
    turned = StoredDocument(
        Document(
            ("a", "x", "b"), (Entity(2, 3, "A"), Entity(0, 1, "A")), (Relation(0, 1, "owns"),)
        ),
        "train",
    )
    (found,) = joined([[turned]], options)
    assert found.document.relations == (Relation(1, 0, "owns"),)


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([stored("a x b", "test")], "too_few_documents"),
        ([stored("a x b", "train")], "too_few_documents"),
        (
            [
                stored("a x b", "train", "one"),
                stored("c x b", "train", "two"),
                stored("d x e", "test"),
            ],
            "too_many_types",
        ),
    ],
)
def test_a_corpus_that_nothing_can_be_made_of(documents: list[StoredDocument], reason: str) -> None:
    options = load_settings(environ={}, overrides={"joint.max_types": 3})
    with pytest.raises(BatchRejected) as caught:
        require_corpus(documents, options)
    assert caught.value.reason == reason


def test_documents_are_submitted_to_their_stream_whole(tmp_path: Path, relation_rows) -> None:
    file = tmp_path / "docs.json"
    file.write_text(json.dumps([*make_documents(relation_rows, ["owns"], 3, 1), "broken"]))
    store = FolderStore(tmp_path / "store")
    files, stream = [SubmitFile(file)], "news.documents"
    for wrong in ({"relations": ["owns"]}, {"limits": 3}, {"format": "jsonl"}):
        with pytest.raises(ConfigurationError, match="takes documents"):
            submit_batch(store, files, stream=stream, settings=SETTINGS, **wrong)  # type: ignore[arg-type]
    result = submit_batch(store, files, stream=stream, settings=SETTINGS, format="spert")
    assert list(result.rows.values()) == [4]
    (pending,) = discover(store, settings=SETTINGS)
    batch = read_document_batch(store, pending, settings=SETTINGS, word_pieces=words)
    assert batch.counts == {"read": 4, "accepted": 3, "quarantined": 1}
