"""Thresholds of the relation model, beside trying every threshold by brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from extraction_cases import ADDED, OWN, document_of, documents

from cfcre.config import ExtractionSettings
from cfcre.data.schema import RelationExample, Span
from cfcre.errors import DataError
from cfcre.extraction.calibration import Calibration, calibrate, documents_digest
from cfcre.extraction.extractor import Extractor
from cfcre.spans.documents import Document, Entity, Relation
from cfcre.spans.triples import Triples


@pytest.fixture(scope="module")
def labelled(relation_rows):
    return documents(relation_rows(list(OWN), 8, seed=31), 31)


@pytest.fixture(scope="module")
def calibration(span_model, predictor, labelled):
    return calibrate(span_model, predictor, labelled)


def said_by_hand(predictor, found, penalty):
    """Every direction of every pair of labelled entities on its own: score, relation, right."""
    said = []
    labelled = 0
    for document in found:
        gold = {
            (document.entities[h][:2], document.entities[t][:2], name)
            for h, t, name in document.relations
        }
        labelled += len(gold)
        for i, one in enumerate(document.entities):
            for other in document.entities[i + 1 :]:
                both = []
                for head, tail in ((one, other), (other, one)):
                    row = RelationExample(
                        document.text,
                        Span(*document.characters(*head[:2])),
                        Span(*document.characters(*tail[:2])),
                    )
                    cosines = dict(
                        zip(predictor.relations, predictor.similarities([row])[0], strict=True)
                    )
                    # The rule's best of those seen between the types, and of the others.
                    chosen = {}
                    for p in predictor.predict([row], top_k=99)[0]:
                        other = p.relation in OWN and (head.type, tail.type) != ("Person", "Place")
                        worth = float(cosines[p.relation]) - (penalty if other else 0)
                        chosen.setdefault(other, (worth, p.relation))
                    worth, name = max(chosen.values())
                    both.append((worth, name, (head[:2], tail[:2], name) in gold))
                if both[0][1] == both[1][1]:
                    both = [max(both, key=lambda b: b[0])]
                said += both
    return said, labelled


def test_the_threshold_has_the_best_f1(span_model, predictor, labelled, calibration):
    said, count = said_by_hand(predictor, labelled, calibration.penalty)

    def f1(threshold):
        kept = [right for score, _, right in said if score >= threshold]
        return 2 * sum(kept) / (len(kept) + count)

    assert calibration.labelled == count
    assert f1(calibration.threshold) == pytest.approx(max(f1(score) for score, _, _ in said))
    own = calibration.relation_thresholds
    kept = [right for score, name, right in said if score >= calibration.threshold_of(name)]
    assert (calibration.right, calibration.wrong) == (sum(kept), len(kept) - sum(kept))
    assert calibration.recall == pytest.approx(sum(kept) / count)
    assert calibration.precision == pytest.approx(sum(kept) / len(kept))
    assert set(own) == set(ADDED), "relations that no document has"
    pairs = sum(len(d.entities) * (len(d.entities) - 1) // 2 for d in labelled)
    assert (calibration.pairs, calibration.unread) == (pairs, 0)
    share = ExtractionSettings().false_share * pairs
    for name, threshold in own.items():
        assert threshold >= calibration.threshold
        assert sum(n == name and score >= threshold for score, n, _ in said) <= share


def test_pairs_without_a_relation_are_told_apart(span_model, predictor, calibration, relation_rows):
    """What the documents are for: a pair across two sentences holds nothing."""
    assert calibration.precision > 0.5
    first, second = relation_rows(["owns"], 2, seed=44)
    text = document_of(first, second).text
    everything = Extractor(span_model, predictor, settings=ExtractionSettings())
    found = everything(text, relation_thresholds=dict.fromkeys(ADDED, -1.0))
    kept = Extractor(span_model, predictor, calibration=calibration)(text)
    assert len(kept.relations) <= len(found.relations)


def test_a_calibrated_extractor_uses_them(span_model, predictor, calibration):
    joined = Extractor(span_model, predictor, calibration=calibration)
    text = "by all accounts carla penned quito in spring 3"
    (found,) = [r for r in joined(text).relations if r.type == "wrote"]
    assert found.score >= calibration.threshold_of("wrote")
    high = replace(calibration, relation_thresholds={"wrote": 0.999, "located in": 0.999})
    assert not [
        r
        for r in Extractor(span_model, predictor, calibration=high)(text).relations
        if r.type == "wrote"
    ]
    asked = joined(text, relation_thresholds={"wrote": 0.999})
    assert "wrote" not in {r.type for r in asked.relations}, "what the caller says goes before"


def test_types_of_documents_constrain_what_the_span_model_never_saw(
    span_model, predictor, labelled
):
    given = Triples.only([("Place", "wrote", "Place")])
    found = calibrate(span_model, predictor, labelled, triples=given)
    assert found.triples.seen("Place", "wrote", "Place")
    assert not found.triples.seen("Person", "wrote", "Place")
    text = "by all accounts carla penned quito in spring 3"
    strict = ExtractionSettings(unseen_penalty=2.0)
    free = Extractor(span_model, predictor, settings=strict)(text)
    bound = Extractor(span_model, predictor, calibration=found, settings=strict)(text)
    assert "wrote" in {r.type for r in free.relations}
    assert "wrote" not in {r.type for r in bound.relations}


def test_documents_without_any_known_relation(span_model, predictor, labelled):
    """Nothing to find: the threshold is what so small a share of the pairs reaches."""
    bare = [replace(document, relations=()) for document in labelled]
    found = calibrate(span_model, predictor, bare)
    assert (found.labelled, found.recall, found.right) == (0, None, 0)
    assert found.wrong <= ExtractionSettings().false_share * found.pairs
    assert not found.relation_thresholds


def test_documents_without_pairs_are_refused(span_model, predictor):
    alone = Document(("ada", "owns", "riga"), (Entity(0, 1, "Person"),))
    with pytest.raises(DataError, match="1 documents have no two entities that could be related"):
        calibrate(span_model, predictor, [alone])
    with pytest.raises(DataError, match="0 documents have no two entities"):
        calibrate(span_model, predictor, [])


def test_relations_that_hold_both_ways_have_no_direction(span_model, predictor, labelled):
    turned = [
        replace(d, relations=tuple(Relation(t, h, name) for h, t, name in d.relations))
        for d in labelled
    ]
    straight = calibrate(span_model, predictor, labelled, symmetric=OWN)
    assert calibrate(span_model, predictor, turned, symmetric=OWN).right == straight.right > 0
    assert calibrate(span_model, predictor, turned).right < straight.right


class TestFile:
    def test_written_and_read(self, calibration, tmp_path: Path):
        path = tmp_path / "calibration.json"
        calibration.write(path)
        assert Calibration.read(path) == calibration
        data = json.loads(path.read_text())
        assert data["precision"] == calibration.precision
        assert len(data["data"]) == 64 and data["documents"] == calibration.documents

    def test_the_digest_is_that_of_the_documents(self, labelled, calibration):
        assert documents_digest(labelled) == calibration.data
        changed = [*labelled[:-1], replace(labelled[-1], relations=())]
        assert documents_digest(changed) != calibration.data
        assert documents_digest(labelled[::-1]) != calibration.data
        assert documents_digest([Document(("\ud83d",))]), "whatever the text"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "cannot read"),
            ("[]", "no calibration of format 1"),
            ('{"format": 2}', "no calibration of format 1"),
            ('{"format": 1, "threshold": 0.5}', "a damaged calibration"),
        ],
    )
    def test_other_files_are_refused(self, tmp_path: Path, content, message):
        path = tmp_path / "calibration.json"
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            Calibration.read(path)

    @pytest.mark.parametrize("value", ["0.5", None, 1e9, float("nan")])
    def test_a_threshold_that_is_no_cosine_is_refused(self, calibration, tmp_path: Path, value):
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps({**calibration.to_json(), "threshold": value}))
        with pytest.raises(DataError, match="a threshold is no cosine"):
            Calibration.read(path)


def test_the_same_documents_give_the_same_calibration(span_model, predictor, labelled, calibration):
    again = calibrate(span_model, predictor, labelled)
    assert again.threshold == pytest.approx(calibration.threshold, abs=1e-5)
    assert again.data == calibration.data
    assert np.isfinite(again.threshold)
