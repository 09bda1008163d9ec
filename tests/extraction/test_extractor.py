"""The extractor on trained models: what it finds, where, and that batches change nothing."""

from __future__ import annotations

from extraction_cases import ADDED, OWN


def named(found) -> set[tuple[str, str, str]]:
    return {
        (found.entities[r.head].text, r.type, found.entities[r.tail].text) for r in found.relations
    }


def test_relations_of_both_models_are_found(extractor, relation_rows):
    for relation, source in ((OWN[1], "spans"), (ADDED[1], "relations")):
        rows = relation_rows([relation], 10, seed=77)
        right = 0
        for row, found in zip(rows, extractor([row.text for row in rows]), strict=True):
            right += (row.head_text, relation, row.tail_text) in named(found)
            assert {r.source for r in found.relations if r.type == relation} <= {source}
        assert right >= 7, relation


def test_one_text_gives_one_and_a_list_gives_a_list(extractor):
    text = "in spring ada founded riga last year 7"
    assert extractor([text]) == [extractor(text)]
    assert extractor([]) == []
