"""CEAR's memory augmentation and CRL's feature bank: what they keep, and what they change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cfcre.data.schema import RelationExample, Span
from cfcre.methods.feature_bank import FeatureBank
from cfcre.methods.memory_augmentation import augment_memory, concatenate, swap_entities
from cfcre.modeling.parallel import ALONE


def row(text, head, tail, relation="r"):
    """An example by the surface forms of its entities, each of which is once in the text."""
    spans = [Span(text.index(e), text.index(e) + len(e)) for e in (head, tail)]
    return RelationExample(text, *spans, relation)


A = row("Ada wrote the Notes in 1843.", "Ada", "the Notes")
B = row("In Vienna, Beethoven finished Fidelio", "Beethoven", "Fidelio")
TAIL_FIRST = row("Fidelio is by Beethoven.", "Beethoven", "Fidelio")


@pytest.mark.parametrize(
    ("example", "other", "expected"),
    [
        (A, B, "Beethoven wrote Fidelio in 1843."),
        (B, A, "In Vienna, Ada finished the Notes"),
        (TAIL_FIRST, A, "the Notes is by Ada."),
        (A, TAIL_FIRST, "Beethoven wrote Fidelio in 1843."),
    ],
)
def test_swapped_entities_stand_where_the_own_ones_did(example, other, expected):
    swapped = swap_entities(example, other)
    assert swapped.text == expected
    assert (swapped.head_text, swapped.tail_text) == (other.head_text, other.tail_text)
    assert swapped.relation == example.relation and swapped.head_first == example.head_first


@pytest.mark.parametrize("behind", [False, True])
def test_concatenation_keeps_entities_and_relation(behind):
    other = row("Rome is in Italy", "Rome", "Italy", "elsewhere")
    joined = concatenate(A, other, behind=behind)
    parts = [other.text, A.text] if behind else [A.text, other.text]
    assert joined.text == " ".join(parts)
    assert (joined.head_text, joined.tail_text, joined.relation) == ("Ada", "the Notes", "r")


def test_memory_is_four_times_as_large_and_says_where_rows_come_from(relation_rows):
    memory = relation_rows(["owns", "wrote", "founded"], 5)
    examples, origins = augment_memory(memory, np.random.default_rng(1))
    assert len(examples) == len(origins) == 4 * len(memory)
    assert examples[: len(memory)] == memory and list(origins[:15]) == list(range(15))
    assert all(e.relation == memory[o].relation for e, o in zip(examples, origins, strict=True))
    swapped, joined = examples[15:30], examples[30:]
    for e, o in zip(swapped, origins[15:30], strict=True):
        pairs = {(m.head_text, m.tail_text) for m in memory if m.relation == e.relation}
        assert (e.head_text, e.tail_text) in pairs
        between = e.text[e.head.end : e.tail.start]
        assert between == memory[o].text[memory[o].head.end : memory[o].tail.start]
    for i, e in enumerate(joined):
        own = examples[i]
        assert own.text in e.text and e.text != f"{own.text} {own.text}"
        assert (e.head_text, e.tail_text) == (own.head_text, own.tail_text)
        assert e.text.startswith(own.text) == (i % 2 == 0)


def test_partners_are_others_and_each_is_used_once(relation_rows):
    """Distinct entities make the partner visible: nobody is swapped with itself."""
    memory = [row(f"h{i} owns t{i}", f"h{i}", f"t{i}") for i in range(6)]
    examples, _ = augment_memory(memory, np.random.default_rng(0))
    partners = [int(e.head_text[1:]) for e in examples[6:12]]
    assert sorted(partners) == list(range(6))
    assert all(i != p for i, p in enumerate(partners))


def test_a_lonely_example_has_no_partner():
    examples, origins = augment_memory([A], np.random.default_rng(0))
    assert examples == [A] and list(origins) == [0]
    lone = row("Rome is in Italy", "Rome", "Italy", "elsewhere")
    examples, origins = augment_memory([A, lone], np.random.default_rng(0))
    assert len(examples) == 4 and sorted(origins) == [0, 0, 1, 1]
    assert augment_memory([], np.random.default_rng(0))[0] == []


def test_same_seed_same_rows(relation_rows):
    memory = relation_rows(["owns", "wrote"], 8)
    one, two, other = (augment_memory(memory, np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert one == two and one != other


def test_bank_replaces_the_rows_seen_and_no_other():
    g = torch.Generator().manual_seed(0)
    start, labels = torch.randn(6, 3, generator=g), torch.tensor([0, 0, 1, 1, 3, 3])
    bank = FeatureBank(start, labels, ALONE)
    before = bank.features
    new = torch.randn(2, 3, generator=g, requires_grad=True)
    bank.replace(torch.tensor([4, 1]), new)
    expected = torch.nn.functional.normalize(start, dim=1)
    expected[4], expected[1] = torch.nn.functional.normalize(new.detach(), dim=1)
    torch.testing.assert_close(bank.features, expected)
    assert not bank.features.requires_grad
    # A backward pass that still holds the old bank reads it as it was.
    torch.testing.assert_close(before, torch.nn.functional.normalize(start, dim=1))


def test_bank_prototypes_are_unit_means_and_zero_without_rows():
    features = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    bank = FeatureBank(features, torch.tensor([0, 0, 1, 1, 3, 3]), ALONE)
    prototypes = bank.prototypes(4)
    for r in (0, 1, 3):
        rows = [bank.features[i].numpy() for i in range(6) if bank.labels[i] == r]
        mean = sum(rows) / 2
        np.testing.assert_allclose(prototypes[r], mean / np.linalg.norm(mean), rtol=1e-5)
    assert not prototypes[2].any()
    torch.testing.assert_close(bank.prototypes(2), prototypes[:2])
