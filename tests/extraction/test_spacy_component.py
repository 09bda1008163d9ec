"""``nlp.add_pipe("cfcre")`` in a real spaCy pipeline."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from extraction_cases import ADDED

from cfcre.errors import ConfigurationError

spacy = pytest.importorskip("spacy", reason="spaCy is not installed (the extra 'spacy')")

SENTENCE = "in spring ada founded riga last year 7"
ADDED_SENTENCE = "by all accounts carla penned quito in spring 3"


@pytest.fixture(scope="module")
def config(span_folder, learner_folder):
    return {
        "spans": str(span_folder),
        "relations": str(learner_folder),
        "settings": {"compute.threads": 1},
    }


@pytest.fixture(scope="module")
def nlp(config):
    # What spaCy does by the entry point; a package that is not installed has none.
    import cfcre.extraction.spacy_component  # noqa: F401

    made = spacy.blank("en")
    made.add_pipe("cfcre", config=config)
    return made


def test_the_entry_point_is_declared_and_leads_to_the_factory():
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    points = tomllib.loads(project.read_text())["project"]["entry-points"]["spacy_factories"]
    assert points == {"cfcre": "cfcre.extraction.spacy_component:make_component"}
    from cfcre.extraction import spacy_component

    assert spacy_component.make_component


def test_entities_and_relations(nlp, extractor):
    doc = nlp(SENTENCE)
    expected = extractor(SENTENCE)
    assert doc._.cfcre == expected
    assert [(e.start_char, e.end_char, e.label_) for e in doc.ents] == [
        (e.start, e.end, e.type) for e in expected.entities
    ]
    assert [e.text for e in doc.ents if e.label_ == "Person"] == ["ada"]
    assert {r.type for r in nlp(ADDED_SENTENCE)._.cfcre.relations} & set(ADDED)


def test_a_stream_equals_one_by_one(nlp, relation_rows):
    texts = [row.text for row in relation_rows(["founded", "owns"], 5, seed=12)] + ["", "  "]
    docs = list(nlp.pipe(texts, batch_size=4))
    assert [d.text for d in docs] == texts
    for doc, text in zip(docs, texts, strict=True):
        assert [(e.text, e.label_) for e in doc.ents] == [
            (e.text, e.label_) for e in nlp(text).ents
        ]


def test_an_entity_within_a_token_becomes_the_token(nlp):
    """spaCy keeps "ada-founded" apart differently than the extractor; nothing is lost."""
    text = "in spring ada's founded riga/tunis last year 7"
    doc = nlp(text)
    for entity in doc._.cfcre.entities:
        assert text[entity.start : entity.end] == entity.text
    covered = [(e.start_char, e.end_char) for e in doc.ents]
    for entity in doc._.cfcre.entities:
        assert any(start < entity.end and entity.start < end for start, end in covered)


def test_a_pipeline_is_saved_and_loaded(nlp, tmp_path: Path):
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert again(SENTENCE)._.cfcre == nlp(SENTENCE)._.cfcre
    assert again.from_bytes(nlp.to_bytes())(SENTENCE)._.cfcre == nlp(SENTENCE)._.cfcre


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spans": None}, "without 'spans'"),
        ({"settings": {"extraction.widow": 3}}, r"unknown setting 'extraction\.widow'"),
    ],
)
def test_wrong_configurations_are_refused(config, changed, message):
    with pytest.raises(ConfigurationError, match=message):
        spacy.blank("en").add_pipe("cfcre", config={**config, **changed})
