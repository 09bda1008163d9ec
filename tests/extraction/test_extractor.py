"""The extractor on trained models: what it finds and where, whatever the text."""

from __future__ import annotations

import dataclasses

import pytest
from extraction_cases import ADDED, OWN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfcre.config import ExtractionSettings
from cfcre.errors import ConfigurationError, DataError, StateError
from cfcre.extraction.extractor import Extractor
from cfcre.extraction.results import Extraction
from cfcre.spans.documents import Document

SENTENCE = "in spring ada founded riga last year 7"
ADDED_SENTENCE = "by all accounts carla penned quito in spring 3"


def triples(found: Extraction) -> set[tuple[str, str, str]]:
    return {
        (found.entities[r.head].text, r.type, found.entities[r.tail].text) for r in found.relations
    }


def check(found: Extraction) -> None:
    """What holds for every extraction."""
    for entity in found.entities:
        assert 0 <= entity.start < entity.end <= len(found.text)
        assert entity.text == found.text[entity.start : entity.end]
        assert entity.type in ("Person", "Place")
        assert 0 < entity.score <= 1
    places = [(e.start, e.end) for e in found.entities]
    assert places == sorted(set(places))
    keys = [(r.head, r.tail, r.type) for r in found.relations]
    assert keys == sorted(set(keys))
    for relation in found.relations:
        assert relation.head != relation.tail
        assert {relation.head, relation.tail} <= set(range(len(found.entities)))
        assert relation.type in (*OWN, *ADDED)
        assert relation.source == ("spans" if relation.type in OWN else "relations")
        assert -1 <= relation.score <= 1


class TestWhatIsFound:
    @pytest.mark.parametrize("relation", [*OWN, *ADDED])
    def test_relations_of_both_models(self, extractor, relation_rows, relation):
        rows = relation_rows([relation], 12, seed=77)
        made = extractor([row.text for row in rows])
        right = [
            (row.head_text, relation, row.tail_text) in triples(found)
            for row, found in zip(rows, made, strict=True)
        ]
        assert sum(right) >= 8
        for found in made:
            check(found)

    def test_the_relation_model_says_nothing_about_what_the_span_model_knows(self, extractor):
        assert extractor.added_relations == tuple(n for n in ADDED)
        assert extractor.relation_types == (*sorted(OWN), *ADDED)
        found = extractor(SENTENCE, relation_thresholds=dict.fromkeys(ADDED, -1.0))
        assert {r.type for r in found.relations if r.source == "relations"} <= set(ADDED)

    def test_the_span_model_alone(self, span_model):
        alone = Extractor(span_model)
        assert alone.relation_types == tuple(sorted(OWN))
        assert {r.source for r in alone(SENTENCE).relations} == {"spans"}

    def test_scores_are_those_of_the_models(self, extractor, span_model, predictor):
        found = extractor(SENTENCE)
        (alone,) = span_model.predict([SENTENCE])
        assert [e.score for e in found.entities] == pytest.approx([e.score for e in alone.entities])
        found = extractor(ADDED_SENTENCE)
        (relation,) = [r for r in found.relations if r.source == "relations"]
        head, tail = found.entities[relation.head], found.entities[relation.tail]
        from cfcre.data.schema import RelationExample, Span

        row = RelationExample(found.text, Span(head.start, head.end), Span(tail.start, tail.end))
        ((best,),) = predictor.predict([row])
        assert best.relation == relation.type
        cosine = predictor.similarities([row])[0, predictor.relations.index(relation.type)]
        assert relation.score == pytest.approx(cosine, abs=1e-5)


class TestBatches:
    def test_one_text_gives_one_and_a_list_gives_a_list(self, extractor):
        assert extractor([SENTENCE]) == [extractor(SENTENCE)]
        assert extractor([]) == []
        assert extractor((SENTENCE,)) == [extractor(SENTENCE)]

    def test_a_batch_equals_one_by_one(self, span_model, predictor, relation_rows):
        texts = [row.text for row in relation_rows([*OWN, *ADDED], 4, seed=5)]
        texts = [*texts[::3], "", "ada", " \n\t ", " . ".join(texts)]
        chosen = ExtractionSettings(window=64, stride=32, reach=12)
        extractor = Extractor(span_model, predictor, settings=chosen)
        together = extractor(texts)
        assert together[-1].windows > 3
        for text, found in zip(texts, together, strict=True):
            check(found)
            alone = extractor(text)
            assert triples(alone) == triples(found)
            assert (alone.text, alone.windows) == (found.text, found.windows)
            for a, b in zip(
                alone.entities + alone.relations, found.entities + found.relations, strict=True
            ):
                assert a.score == pytest.approx(b.score, abs=1e-5)
                assert dataclasses.replace(a, score=0) == dataclasses.replace(b, score=0)

    def test_documents_keep_their_words(self, extractor):
        found = extractor(Document.from_words(["ada", "founded", "riga-east"]))
        assert found.text == "ada founded riga-east"
        assert all(e.text in ("ada", "founded", "riga-east") for e in found.entities)

    def test_other_things_are_refused(self, extractor):
        with pytest.raises(ConfigurationError, match="text 1 is bytes; give texts"):
            extractor(["ada", b"ada"])


hostile = st.text(
    st.one_of(
        st.sampled_from([*"ad b[]{}.\n\t\0\x07\x1b\x7f\u200d\u202e\ufeff\ud83d\ude00é中문ไทย😀"]),
        st.characters(),
    ),
    max_size=60,
)


class TestHostileTexts:
    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(texts=st.lists(hostile, max_size=4))
    def test_any_text(self, extractor, texts):
        for text, found in zip(texts, extractor(texts), strict=True):
            assert found.text == text
            check(found)
            assert Extraction.from_json(found.to_json()) == found

    @pytest.mark.parametrize("text", ["", " ", "\n\n", "\0\x01", "\u200d", "\ud83d"])
    def test_without_words_nothing_is_found(self, extractor, text):
        assert extractor(text) == Extraction(text, (), (), 0)

    @pytest.mark.parametrize(
        "around",
        [
            "[E11] {} [E12]",
            "[SEP] {} [CLS]",
            "😀{}😀",
            "\ud83d{}\ude00",
            "阿达{}北京",
            "\0{}\x1b[31m",
        ],
    )
    def test_what_stands_around_moves_no_offset(self, extractor, around):
        text = around.format(f" {SENTENCE} ")
        found = extractor(text)
        check(found)
        # The tiny model was never shown such words; that it finds some of the sentence's is enough.
        start = text.index(SENTENCE)
        inside = [e for e in found.entities if start <= e.start < start + len(SENTENCE)]
        assert {e.text for e in inside} & {"ada", "riga"}

    def test_ten_thousand_words(self, extractor, relation_rows):
        rows = relation_rows(["founded"], 12, seed=3)
        text = " . ".join(row.text for row in rows)
        filler = "in spring as reported long ago it is said " * 11
        text = " . ".join([text[:400], filler * 100, text])
        assert len(text.split()) > 9_000
        found = extractor(text)
        check(found)
        assert found.windows > 50 and not found.unread
        late = [e for e in found.entities if e.start > len(text) - 1500]
        assert late, "the end of the text is read too"

    def test_a_word_longer_than_a_window_is_reported(self, extractor, monkeypatch):
        tokenizer = extractor.spans.state.tokenizer
        pieces = tokenizer._pieces
        long = "x" * 300
        monkeypatch.setattr(
            tokenizer,
            "_pieces",
            lambda words: [
                p * 300 if w == long else p for w, p in zip(words, pieces(words), strict=True)
            ],
        )
        found = extractor(f"{SENTENCE} {long} {SENTENCE}")
        check(found)
        assert found.unread == ((len(SENTENCE) + 1, len(SENTENCE) + 301),)
        assert found.windows == 2, "one on either side"
        assert ("ada", "founded", "riga") in triples(found)

    def test_a_longer_text_than_allowed_is_refused(self, span_model):
        small = Extractor(span_model, settings=ExtractionSettings(max_text_chars=20))
        with pytest.raises(DataError, match=r"text 1 has 38 characters; .*max_text_chars is 20"):
            small(["ada", SENTENCE])


class TestWindows:
    def test_an_entity_of_two_windows_is_one_with_its_best_score(self, span_model, relation_rows):
        """Beside every window on its own, put together by hand."""
        text = " . ".join(row.text for row in relation_rows(list(OWN), 6, seed=8))
        small = Extractor(
            span_model, settings=ExtractionSettings(window=32, stride=10, overlap="allow")
        )
        found = small(text)
        check(found)
        document = Document.from_text(text)
        best: dict[tuple[int, int], tuple[float, str]] = {}
        from cfcre.extraction.reading import read_texts

        plan = read_texts([text], span_model, small.settings).plans[0]
        assert found.windows == len(plan.windows) > 4
        for start, end in plan.windows:
            (alone,) = span_model.predict([document.words[start:end]])
            for e in alone.entities:
                key = document.characters(start + e.start, start + e.end)
                best[key] = max(best.get(key, (0.0, "")), (e.score, e.type))
        assert {(e.start, e.end): e.type for e in found.entities} == {
            key: kind for key, (_, kind) in best.items()
        }
        for e in found.entities:
            assert e.score == pytest.approx(best[e.start, e.end][0], abs=1e-5)

    def test_windows_of_any_size_read_everything(self, span_model, predictor, relation_rows):
        rows = relation_rows(list(OWN), 5, seed=21)
        text = " . ".join(row.text for row in rows)
        for window, stride in ((512, 256), (64, 32), (40, 13)):
            chosen = ExtractionSettings(window=window, stride=stride)
            found = Extractor(span_model, predictor, settings=chosen)(text)
            check(found)
            assert {e.text for e in found.entities} >= {rows[0].head_text, rows[-1].tail_text}


class TestChoices:
    def test_thresholds(self, extractor):
        kept = extractor(SENTENCE)
        person = next(e for e in kept.entities if e.type == "Person")
        above = extractor(SENTENCE, entity_thresholds={"Person": 1.0})
        assert all(e.type != "Person" for e in above.entities)
        assert person.score < 1 and not above.relations, "no relation without its entity"
        none = extractor(SENTENCE, relation_thresholds={"founded": 1.0})
        assert [e.text for e in none.entities] == [e.text for e in kept.entities]
        assert all(r.type != "founded" for r in none.relations)
        assert not [
            r
            for r in extractor(ADDED_SENTENCE, relation_thresholds={"wrote": 1.0}).relations
            if r.type == "wrote"
        ]

    def test_thresholds_of_the_settings_hold_unless_the_call_says_otherwise(self, span_model):
        chosen = ExtractionSettings(relation_thresholds={"founded": 1.0})
        strict = Extractor(span_model, settings=chosen)
        assert not strict(SENTENCE).relations
        assert strict(SENTENCE, relation_thresholds={}).relations

    def test_constraints(self, extractor):
        assert ("ada", "founded", "riga") in triples(extractor(SENTENCE))
        allowed = [("Person", "founded", "Place")]
        assert ("ada", "founded", "riga") in triples(extractor(SENTENCE, constraints=allowed))
        turned = [("Place", "founded", "Person"), ("Place", "wrote", "Person")]
        assert not extractor(SENTENCE, constraints=turned).relations
        assert "wrote" not in {
            r.type for r in extractor(ADDED_SENTENCE, constraints=turned).relations
        }

    def test_types_that_were_never_related_so_cost_the_penalty(self, span_model):
        from cfcre.spans.triples import Triples

        (kept,) = Extractor(span_model)(SENTENCE).relations
        assert span_model.triples.seen("Person", "founded", "Place")
        lineage = dict(span_model.state.lineage)
        other = Triples.only([("Place", "founded", "Place")])
        span_model.state.lineage["triples"] = other.to_json()
        try:
            lenient = ExtractionSettings(unseen_penalty=0.1)
            (found,) = Extractor(span_model, settings=lenient)(SENTENCE).relations
            assert found.score == pytest.approx(kept.score - 0.1)
            strict = ExtractionSettings(unseen_penalty=1.0)
            assert not Extractor(span_model, settings=strict)(SENTENCE).relations
        finally:
            span_model.state.lineage = lineage

    def test_overlap_policies(self, span_model):
        clash = _everything_overlaps(span_model)
        allowed = Extractor(clash, settings=ExtractionSettings(overlap="allow"))(SENTENCE)
        best = Extractor(clash)(SENTENCE)
        check(best)
        assert len(allowed.entities) > len(best.entities) > 0
        for a, b in zip(best.entities, best.entities[1:], strict=False):
            assert a.end <= b.start
        with pytest.raises(DataError, match=r"text 1: entities .* share words"):
            Extractor(clash)(["", SENTENCE], overlap="error")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"entity_thresholds": {"Ship": 0.5}}, "'Ship'; the entity types are Person, Place"),
            ({"relation_thresholds": {"sank": 0.5}}, "'sank'; the relations are born in"),
            ({"constraints": [("Person", "sank", "Place")]}, "a constraint is given for 'sank'"),
            ({"constraints": [("Ship", "owns", "Place")]}, "a constraint is given for 'Ship'"),
            ({"constraints": [("Person", "owns")]}, "give head type, relation and tail type"),
        ],
    )
    def test_unknown_types_are_refused(self, extractor, options, message):
        with pytest.raises(ConfigurationError, match=message):
            extractor(SENTENCE, **options)

    def test_a_setting_for_an_unknown_type_is_refused_at_once(self, span_model):
        with pytest.raises(ConfigurationError, match="'wrote'; the relations are"):
            Extractor(span_model, settings=ExtractionSettings(relation_thresholds={"wrote": 0.1}))


class _Clash:
    """The span model with a network that is sure of every span."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)

    def predict_encoded(self, encoded, **options):
        network = self._model.state.network
        bias = network.entity.bias.data
        before = bias.clone()
        bias[1] += 50
        try:
            return self._model.predict_encoded(encoded, **options)
        finally:
            bias.copy_(before)


def _everything_overlaps(span_model):
    return _Clash(span_model)


class TestLoading:
    def test_from_folders(self, span_folder, learner_folder, extractor):
        loaded = Extractor.load(spans=span_folder, relations=learner_folder)
        assert loaded(SENTENCE) == extractor(SENTENCE)
        assert loaded.symmetric == {"married to"}
        assert not Extractor.load(spans=span_folder).added_relations

    def test_what_is_no_model(self, span_folder, learner_folder, tmp_path):
        with pytest.raises(StateError, match=r"no model\.json"):
            Extractor.load(spans=learner_folder)
        with pytest.raises(StateError, match=r"state\.json"):
            Extractor.load(spans=span_folder, relations=span_folder)
        with pytest.raises(DataError, match=r"cannot read missing\.json"):
            Extractor.load(
                spans=span_folder, relations=learner_folder, calibration=tmp_path / "missing.json"
            )
