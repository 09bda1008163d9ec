"""Training: it learns, the same inputs give the same model, parts of a batch add up to it."""

from __future__ import annotations

import json

import pytest
import torch
from span_documents import easy_documents, types

from cfcre.errors import ConfigurationError, DataError, StateError
from cfcre.spans.documents import Document, LabelTypes
from cfcre.spans.gold import gold_labels
from cfcre.spans.model import SpanModel
from cfcre.spans.state import SpanState, read_description
from cfcre.spans.training import make_optimizer, train_network

TYPES = types()
LEARN = {"epochs": 6, "learning_rate": 3e-3, "max_span_width": 3, "dropout": 0.1}


def trained(settings, documents, **kwargs):
    state = SpanState.fresh(TYPES, settings)
    encoded = state.tokenizer.encode([d.words for d in documents])
    gold = gold_labels(documents, TYPES, settings.spans.max_span_width)
    facts = train_network(state.network, encoded, gold, TYPES, settings, **kwargs)
    return state, facts


def weights(state) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.network.state_dict().items()}


@pytest.fixture(scope="module")
def learned(span_encoder, tmp_path_factory):
    from cfcre.config import load_settings

    settings = load_settings(
        home=tmp_path_factory.mktemp("home"),
        overrides={
            "spans.encoder": str(span_encoder),
            "spans.max_length": 128,
            "compute.precision": "float32",
            "compute.threads": 1,
            **{f"spans.{k}": v for k, v in LEARN.items()},
        },
        environ={},
    )
    state, facts = trained(settings, easy_documents(160, 1))
    return SpanModel(state, settings.compute), facts, settings


def test_it_learns(learned):
    model, facts, _ = learned
    scores = model.evaluate(easy_documents(60, 2))
    assert scores["entities"].micro.f1 > 0.9, "it was 0.99 when this was written"
    assert scores["relations_strict"].micro.f1 > 0.8
    losses = [e.entity_loss + e.relation_loss for e in facts.epochs]
    assert losses[-1] < losses[0] / 3
    assert facts.updates == 6 * 20


def test_the_same_inputs_give_the_same_model_bit_for_bit(learned, span_settings):
    model, facts, _ = learned
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    again, other_facts = trained(span_settings(**LEARN), easy_documents(160, 1))
    assert torch.equal(torch.random.get_rng_state(), state), "global random state was touched"
    for name, value in weights(model.state).items():
        assert torch.equal(value, weights(again)[name]), name
    assert facts.to_json() == other_facts.to_json()


def test_another_seed_gives_another_model(span_settings):
    documents = easy_documents(16, 1)
    settings = span_settings(epochs=1)
    first, _ = trained(settings, documents)
    other, _ = trained(settings.model_copy(update={"seed": 5}), documents)
    assert not torch.equal(weights(first)["entity.weight"], weights(other)["entity.weight"])


def test_looking_at_the_network_between_epochs_changes_nothing(span_settings):
    settings = span_settings(epochs=2, learning_rate=1e-3)
    documents = easy_documents(24, 1)
    seen = []

    def look(network):
        # Words that training never saw: the whole vocabulary has to be there.
        state = SpanState(network, plain.tokenizer, TYPES, settings.spans)
        found = SpanModel(state, settings.compute).predict(["Xyzzy Q", "Anna works for Acme"])
        seen.append(found)
        return {"seen": len(found)}

    plain, _ = trained(settings, documents)
    watched, facts = trained(settings, documents, after_epoch=look)
    assert len(seen) == 2 and [e.scores for e in facts.epochs] == [{"seen": 2}] * 2
    for name, value in weights(plain).items():
        assert torch.equal(value, weights(watched)[name]), name


def test_an_update_in_parts_is_the_same_update(span_settings):
    """A budget that cuts a batch gives the gradients of the whole batch."""
    documents = easy_documents(8, 3)
    runs = []
    for budget in (4096, 64):
        # No dropout: its masks are drawn part by part. No negatives: they are too.
        settings = span_settings(
            epochs=1,
            dropout=0.0,
            hidden_dropout=0.0,
            warmup=0.0,
            batch_token_budget=budget,
            entity_negative_ratio=0,
            entity_negative_floor=0,
            relation_negative_floor=0,
            relation_negative_ratio=0,
        )
        runs.append(trained(settings, documents))
    (whole, facts), (parts, part_facts) = runs
    assert facts.epochs[0].entity_loss == pytest.approx(part_facts.epochs[0].entity_loss, rel=1e-5)
    for name, value in weights(whole).items():
        torch.testing.assert_close(value, weights(parts)[name], atol=2e-6, rtol=1e-4)


def test_biases_and_normalisation_do_not_decay(span_settings):
    network = SpanState.fresh(TYPES, span_settings()).network
    decayed, free = make_optimizer(network, span_settings().spans).param_groups
    names = {id(p): n for n, p in network.named_parameters()}
    assert decayed["weight_decay"] == 0.01 and free["weight_decay"] == 0
    assert all("LayerNorm" in names[id(p)] or "bias" in names[id(p)] for p in free["params"])
    assert not any("LayerNorm" in names[id(p)] for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_documents_without_entities_are_learned_from_too(span_settings):
    documents = [Document(("the", "of")), Document(("a",)), *easy_documents(2, 1)]
    _, facts = trained(span_settings(epochs=1), documents)
    assert facts.epochs[0].entity_loss > 0
    lonely = [Document(("the", "of"))]
    _, facts = trained(span_settings(epochs=1), lonely)
    assert facts.epochs[0].relation_loss == 0


def test_what_can_not_be_trained_is_said(span_settings):
    with pytest.raises(DataError, match="at least one of each"):
        SpanState.fresh(LabelTypes(("A",), ()), span_settings())
    with pytest.raises(DataError, match="no document"):
        trained(span_settings(), [])
    with pytest.raises(ConfigurationError, match=r"spans\.max_length is 256.*128 word pieces"):
        SpanState.fresh(TYPES, span_settings(max_length=256))


class TestState:
    def test_a_loaded_model_predicts_the_same(self, learned, tmp_path):
        model, _, settings = learned
        model.state.lineage = {"seed": 1}
        model.state.save(tmp_path / "model")
        again = SpanModel.load(tmp_path / "model", settings.compute)
        texts = ["the of Anna works for Acme", "Anna knows b", "", "Bern"]
        assert again.predict(texts) == model.predict(texts)
        assert again.state.lineage == {"seed": 1}
        assert again.types == TYPES

    def test_the_files_of_two_trainings_are_the_same(self, span_settings, tmp_path):
        for name in ("a", "b"):
            state, _ = trained(span_settings(epochs=1), easy_documents(16, 1))
            state.save(tmp_path / name)
        assert read_description(tmp_path / "a") == read_description(tmp_path / "b")

    def test_damage_is_found(self, learned, tmp_path):
        folder = tmp_path / "model"
        learned[0].state.save(folder)
        heads = folder / "heads.safetensors"
        data = bytearray(heads.read_bytes())
        data[-1] ^= 1
        heads.write_bytes(data)
        with pytest.raises(StateError, match=r"heads\.safetensors does not match"):
            SpanModel.load(folder)
        heads.unlink()
        with pytest.raises(StateError, match=r"lacks heads\.safetensors"):
            SpanModel.load(folder)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"format": 99}, "format 99"),
            ({"types": {}}, "cannot be read"),
            ({"settings": {"epochs": -1}}, "cannot be read"),
            ({"files": {"../../etc/passwd": "0"}}, "outside itself"),
        ],
    )
    def test_a_description_that_is_wrong(self, learned, tmp_path, change, match):
        folder = tmp_path / "model"
        learned[0].state.save(folder)
        path = folder / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(StateError, match=match):
            SpanModel.load(folder)

    def test_no_model_at_all(self, tmp_path):
        with pytest.raises(StateError, match=r"no model\.json"):
            SpanModel.load(tmp_path)

    def test_only_a_model_is_replaced(self, learned, tmp_path):
        state = learned[0].state
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "file").write_text("x")
        with pytest.raises(ConfigurationError, match="is no span model"):
            state.save(tmp_path / "precious")
        assert (tmp_path / "precious" / "file").read_text() == "x"
        state.save(tmp_path / "model")
        state.save(tmp_path / "model")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "precious"]


class TestPredict:
    def test_offsets_and_alignment(self, learned):
        model, _, _ = learned
        text = "the of \x07 Anna  works for Acme"
        (found,) = model.predict([text])
        assert [(e.text, e.type) for e in found.entities] == [("Anna", "Peop"), ("Acme", "Org")]
        for entity in found.entities:
            assert text[entity.first_character : entity.last_character] == entity.text
            assert 0 < entity.score <= 1
        (relation,) = found.relations
        assert (relation.head, relation.tail, relation.type) == (0, 1, "Work")

    def test_one_or_many_and_words_or_text_are_the_same(self, learned):
        model, _, _ = learned
        texts = ["Anna works for Acme", "", "b lives in Bern", "the of the of Anna knows a", "x"]
        together = model.predict(texts)
        for text, whole in zip(texts, together, strict=True):
            (alone,) = model.predict([text])
            (words,) = model.predict([text.split()])
            for other in (alone, words):
                assert other.text == whole.text == text
                assert [e[:6] for e in map(_plain, other.entities)] == [
                    e[:6] for e in map(_plain, whole.entities)
                ]
                assert [r.type for r in other.relations] == [r.type for r in whole.relations]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "Anna",
            "\x00\x01",
            "👩‍👩‍👧 works 🎉",
            "中文测试",
            "[CLS] [SEP] [E11] ##x",
            "\ud800 a",
        ],
    )
    def test_odd_text(self, learned, text):
        (found,) = learned[0].predict([text])
        assert found.text == text
        for entity in found.entities:
            assert text[entity.first_character : entity.last_character] == entity.text

    def test_nothing_to_predict(self, learned):
        assert learned[0].predict([]) == []
        assert [f.entities for f in learned[0].predict(["", ""])] == [(), ()]

    def test_a_text_that_is_too_long_is_refused_not_cut(self, learned):
        with pytest.raises(DataError, match=r"document 1 .*10002 word pieces.*reads 128"):
            learned[0].predict(["a", Document.from_words(["a"] * 10_000, "long")])

    def test_thresholds_by_type(self, learned):
        model, _, _ = learned
        text = ["Anna works for Acme", "b lives in Bern"]
        without = model.predict(text, relation_thresholds={"Work": 1.01})
        assert {r.type for f in without for r in f.relations} == {"Live"}
        people = model.predict(text, entity_thresholds={"Org": 1.01, "Loc": 1.01})
        assert {e.type for f in people for e in f.entities} == {"Peop"}
        every = model.predict(text[:1], relation_thresholds=dict.fromkeys(TYPES.relations, 0.0))
        # Two ordered pairs with each of two types, and one pair with the symmetric one.
        assert len(every[0].relations) == 5
        with pytest.raises(ConfigurationError, match="'Own'"):
            model.predict(text, relation_thresholds={"Own": 0.1})
        with pytest.raises(ConfigurationError, match="list of documents"):
            model.predict("Anna")

    def test_evaluation_refuses_types_it_does_not_know(self, learned):
        from cfcre.spans.documents import Entity

        with pytest.raises(DataError, match="'Animal'"):
            learned[0].evaluate([Document(("a",), (Entity(0, 1, "Animal"),))])

    def test_a_document_full_of_entities_stays_within_bounds(self, span_settings, monkeypatch):
        from cfcre.spans import predicting

        settings = span_settings(max_span_width=4, relation_threshold=0.0)
        model = SpanModel(SpanState.fresh(TYPES, settings), settings.compute)
        with torch.no_grad():
            model.state.network.entity.bias[1] = 50.0
        words = [["a", "b"] * 9, ["c"] * 5]
        expected = model.predict(words)
        assert len(expected[0].entities) == 18 + 17 + 16 + 15
        monkeypatch.setattr(predicting, "_PAIRS", 50)
        sizes = []
        original = model.state.network.relation_logits

        def counting(*args):
            sizes.append(len(args[-1]))
            return original(*args)

        monkeypatch.setattr(model.state.network, "relation_logits", counting)
        again = model.predict(words)
        assert max(sizes) <= 50 + 66 and len(sizes) > 50
        for a, b in zip(again, expected, strict=True):
            assert [(r.head, r.tail, r.type) for r in a.relations] == [
                (r.head, r.tail, r.type) for r in b.relations
            ]


def _plain(entity):
    return tuple(vars(entity).values())
