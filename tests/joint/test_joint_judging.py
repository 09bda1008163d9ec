"""Scores of two models with different types, and the gate that looks at them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cfcre.config import JointSettings
from cfcre.operations.joint.gate import judge_spans
from cfcre.operations.joint.judging import evaluation_numbers, scores_page
from cfcre.spans.comparing import joined_types, score_documents
from cfcre.spans.documents import Document, Entity, LabelTypes, Relation
from cfcre.spans.predicting import PredictedLabels
from cfcre.spans.word_pieces import EncodedDocuments

Found = tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]


class Scripted:
    """A model that says what it is told, and reads documents of four words at most."""

    class Tokenizer:
        def encode(self, documents: Any) -> EncodedDocuments:
            counts = np.array([len(words) for words in documents])
            ends = np.concatenate([[0], np.cumsum(counts)])
            total = int(ends[-1])
            return EncodedDocuments(np.arange(total), ends, np.arange(total), ends, 0)

    class State:
        class settings:
            max_length = 4

    def __init__(self, types: LabelTypes, said: dict[int, Found]) -> None:
        self.types, self.said = types, said
        self.state: Any = self.State()
        self.state.tokenizer = self.Tokenizer()

    def predict_encoded(self, encoded: EncodedDocuments) -> PredictedLabels:
        entities: list[Any] = []
        relations: list[Any] = []
        # The script counts the documents that the model can read.
        for number in range(len(encoded.offsets) - 1):
            found, related = self.said.get(number, ([], []))
            first = len(entities)
            entities += [(number, s, e, self.types.entity_number[t]) for s, e, t in found]
            relations += [
                (first + h, first + t, self.types.relation_number[n]) for h, t, n in related
            ]
        e = np.array(entities, dtype=np.int64).reshape(-1, 4).T
        r = np.array(relations, dtype=np.int64).reshape(-1, 3).T
        return PredictedLabels(*e, np.ones(len(entities)), *r, np.ones(len(relations)))


def test_types_that_one_model_does_not_know() -> None:
    """Against figures that were counted by hand."""
    documents = [
        Document(("a", "b", "c"), (Entity(0, 1, "P"), Entity(2, 3, "Z")), (Relation(0, 1, "new"),)),
        Document(tuple("longer"), (Entity(0, 1, "P"),)),
        Document(("a", "b", "c"), (Entity(0, 1, "P"), Entity(1, 2, "O")), (Relation(0, 1, "old"),)),
    ]
    known = LabelTypes(("O", "P"), ("old",))
    # The second document is too long to be read, so the script's number 1 is the third.
    said: dict[int, Found] = {
        0: ([(0, 1, "P"), (2, 3, "O")], []),
        1: ([(0, 1, "P"), (1, 2, "O")], [(0, 1, "old"), (1, 0, "old")]),
    }
    types = joined_types([known, LabelTypes(("P", "O", "Z"), ("new", "old"))])
    assert types == LabelTypes(("O", "P", "Z"), ("new", "old"))
    scored = score_documents(Scripted(known, said), documents, types)  # type: ignore[arg-type]
    assert (scored.documents, scored.unread) == (3, 1)
    entities, relations = scored.scores["entities"], scored.scores["relations"]
    # Said: 4 entities, 3 of them right; labelled: 5.
    assert (entities.micro.precision, entities.micro.recall) == (3 / 4, 3 / 5)
    assert entities.per_type["Z"].support == 1 and entities.per_type["Z"].predicted == 0
    # Said: 2 relations, 1 of them right; labelled: 2.
    assert (relations.micro.precision, relations.micro.recall) == (1 / 2, 1 / 2)
    assert relations.per_type["new"].recall == 0


def part(entity: Any = 0.8, relation: Any = 0.6) -> dict[str, Any]:
    scores = {
        name: {
            "micro": {"f1": value},
            "per_type": {f"{name} A|B": {"f1": value, "support": 12}},
        }
        for name, value in (
            ("entities", entity),
            ("relations", relation),
            ("relations_strict", relation),
        )
    }
    return {"all": scores}


def evaluation(
    candidate: Any, champion: Any = None, changes: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "champion": champion,
        "changes": changes or [],
        "documents": {"test": 9, "newest": 0},
    }


def change(value: Any, support: Any = 12) -> dict[str, Any]:
    return {"kind": "entities", "type": "A", "support": support, "change": value}


LIMITS = JointSettings(min_type_support=10)


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        (evaluation(part()), []),
        (evaluation(part(entity=0.3, relation=0.1)), []),
        (evaluation(part(entity=0.29)), ["entities_f1"]),
        (evaluation(part(relation=0.09)), ["relations_f1"]),
        (evaluation(part(entity=math.nan)), ["entities_f1"]),
        (evaluation({}), ["entities_f1", "relations_f1"]),
        (evaluation(part(), part(0.83, 0.63)), []),
        (evaluation(part(), part(0.84, 0.6)), ["entities_drop"]),
        (evaluation(part(), part(0.8, 0.64)), ["relations_drop"]),
        (evaluation(part(), part(0.8, None)), ["relations_drop"]),
        (evaluation(part(), part(), [change(-0.3)]), []),
        (evaluation(part(), part(), [change(-0.31)]), ["worst_type_drop"]),
        (evaluation(part(), part(), [change(-0.9, support=9)]), []),
        (evaluation(part(), part(), [change(math.nan)]), ["worst_type_drop"]),
        ({**evaluation(part(), part()), "changes": None}, ["worst_type_drop"]),
    ],
)
def test_the_gate(given: dict[str, Any], failed: list[str]) -> None:
    verdict = judge_spans(given, LIMITS)
    assert [c.name for c in verdict.checks if not c.passed] == failed
    assert verdict.promote == (not failed)
    assert ("every check passed" in verdict.reason) == (not failed)


def test_numbers_and_page() -> None:
    given = evaluation(part(), part(0.7, 0.5))
    numbers = evaluation_numbers(given)
    assert numbers["entities_f1"] == 0.8 and numbers["champion_relations_f1"] == 0.5
    assert not any(name.startswith("newest_") for name in numbers)
    page = scores_page(given, {"verdict": "promote", "reason": "<b> | fine"})
    assert "0.8000 | 0.7000" in page
    # A name can not break out of its cell, nor be markup.
    assert "entities A\\|B" in page and "\\<b\\> \\| fine" in page
