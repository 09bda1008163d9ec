"""Text to words to word pieces: nothing crashes, nothing shifts, the casing is right."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.data.tokenizer_files import is_cased, load_backend
from cfcre.errors import ConfigurationError
from cfcre.spans.word_pieces import load_word_pieces
from cfcre.spans.words import split_words

ODD = [
    "",
    " ",
    "\x00",
    "\u200b",
    "\ufe0f",
    "\ud800",
    "[SEP]",
    "[CLS]",
    "[E11]",
    "##a",
    "👩‍👩‍👧",
    "中文",
    "e\u0301",
    "a\u2028b",
    "ﷺ",
    "x" * 300,
]


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n\x00\x07", []),
        ("Ada", ["Ada"]),
        ("Ada's 34-year plan.", ["Ada", "'", "s", "34", "-", "year", "plan", "."]),
        ("snake_case 3,5", ["snake_case", "3", ",", "5"]),
        ("中文abc", ["中", "文", "abc"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("[E11] [SEP]", ["[", "E11", "]", "[", "SEP", "]"]),
        ("a\u2028b\ud800c", ["a", "b", "c"]),
        ("नमस्ते", ["नमस्ते"]),
        ("👩🏽 ok", ["👩", "🏽", "ok"]),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_words_are_in_order_and_hold_all_that_is_visible(text):
    spans = split_words(text)
    assert all(0 <= s < e <= len(text) for s, e in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    covered = {i for s, e in spans for i in range(s, e)}
    for i, character in enumerate(text):
        if i not in covered:
            assert character.isspace() or unicodedata.category(character) in ("Cc", "Cs", "Cf")
    assert not any(text[s:e].isspace() for s, e in spans)


@pytest.fixture(scope="module")
def tokenizer(span_encoder):
    return load_word_pieces(span_encoder)


@pytest.fixture(scope="module")
def backend(span_encoder):
    return load_backend(span_encoder)


class TestWordPieces:
    @settings(max_examples=60, deadline=None)
    @given(
        documents=st.lists(
            st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=6)), max_size=8), max_size=5
        )
    )
    def test_every_word_has_its_own_pieces(self, tokenizer, backend, documents):
        encoded = tokenizer.encode(documents)
        assert len(encoded) == len(documents)
        backend.encode_special_tokens = True
        for number, words in enumerate(documents):
            ids = encoded.ids[encoded.offsets[number] : encoded.offsets[number + 1]].tolist()
            ends = encoded.word_ends[
                encoded.word_offsets[number] : encoded.word_offsets[number + 1]
            ].tolist()
            assert ids[0] == backend.token_to_id("[CLS]")
            assert ids[-1] == backend.token_to_id("[SEP]")
            assert len(ends) == len(words)
            for word, start, end in zip(words, [1, *ends][: len(ends)], ends, strict=True):
                safe = word.encode("utf-8", "replace").decode()
                own = backend.encode(safe, add_special_tokens=False).ids
                assert ids[start:end] == (own or [backend.token_to_id("[UNK]")])
            assert len(ids) == (ends[-1] if ends else 1) + 1

    def test_markers_and_special_tokens_are_text(self, tokenizer, backend):
        encoded = tokenizer.encode([["[SEP]", "[CLS]", "[E11]"]])
        special = {backend.token_to_id(t) for t in ("[SEP]", "[CLS]", "[PAD]", "[MASK]")}
        assert not special & set(encoded.ids[1:-1].tolist())

    def test_documents_can_be_taken_in_any_order(self, tokenizer):
        documents = [["Anna", "xyz"], [], ["a", "bb", "ccc"], ["Bern"]]
        order = np.array([2, 0, 1, 3, 2])
        taken = tokenizer.encode(documents).take(order)
        again = tokenizer.encode([documents[i] for i in order])
        for name in ("ids", "offsets", "word_ends", "word_offsets"):
            np.testing.assert_array_equal(getattr(taken, name), getattr(again, name))


class TestCasing:
    """SpanBERT is cased and ships config.json, weights and vocab.txt, nothing else."""

    def test_a_cased_vocabulary_is_not_lower_cased(self, make_encoder, tmp_path):
        folder = make_encoder(tmp_path / "cased", cased=True, tokenizer=False)
        assert not (folder / "tokenizer.json").exists()
        assert not (folder / "tokenizer_config.json").exists()
        backend = load_backend(folder)
        vocabulary = backend.get_vocab()
        upper, lower = (
            load_word_pieces(folder).encode([[w]]).ids[1:-1].tolist() for w in ("Paris", "paris")
        )
        assert upper == [vocabulary["Paris"]] and lower == [vocabulary["paris"]]

    def test_an_uncased_vocabulary_is(self, make_encoder, tmp_path):
        tokenizer = load_word_pieces(
            make_encoder(tmp_path / "uncased", cased=False, tokenizer=False)
        )
        upper, lower = (tokenizer.encode([[w]]).ids.tolist() for w in ("Paris", "paris"))
        assert upper == lower

    def test_what_the_tokenizer_configuration_says_counts(self, make_encoder, tmp_path):
        folder = make_encoder(tmp_path / "told", cased=True, tokenizer=False)
        (folder / "tokenizer_config.json").write_text(
            '{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}'
        )
        tokenizer = load_word_pieces(folder)
        upper, lower = (tokenizer.encode([[w]]).ids.tolist() for w in ("Paris", "paris"))
        assert upper == lower

    def test_the_casing_survives_a_saved_model(
        self, make_encoder, tmp_path, label_types, span_settings
    ):
        from cfcre.spans.state import SpanState

        folder = make_encoder(tmp_path / "cased", cased=True, tokenizer=False)
        state = SpanState.fresh(label_types, span_settings(encoder=str(folder)))
        state.save(tmp_path / "model")
        again = SpanState.load(tmp_path / "model").tokenizer
        words = [["Paris", "paris", "PARIS"]]
        assert again.encode(words).ids.tolist() == state.tokenizer.encode(words).ids.tolist()

    def test_special_tokens_do_not_make_a_vocabulary_cased(self):
        assert not is_cased(["[PAD]", "[UNK]", "a", "##b"])
        assert is_cased(["[PAD]", "a", "##B"])

    def test_a_folder_without_a_tokenizer_says_so(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(ConfigurationError, match=r"tokenizer\.json or a vocab\.txt"):
            load_backend(tmp_path)


def test_byte_level_vocabularies_see_the_space_before_a_word():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from cfcre.spans.word_pieces import WordPieceTokenizer

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {c: i for i, c in enumerate([*sorted(alphabet), "<s>", "</s>", "<pad>"])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])],
    )
    encoded = WordPieceTokenizer(backend).encode([["ab", "c"]])
    names = {i: c for c, i in vocabulary.items()}
    assert [names[i] for i in encoded.ids.tolist()] == ["<s>", "Ġ", "a", "b", "Ġ", "c", "</s>"]
    assert encoded.word_ends.tolist() == [4, 6]
