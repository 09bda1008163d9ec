"""The vectorised model against the literal one: logits, losses, gradients, samples, predictions."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spans_literal import LiteralModel, all_spans, literal_samples, word_pieces
from tests_of_spans import CPU, spread_out

from cfcre.data.tokenizer_files import load_backend
from cfcre.modeling.compute import Compute
from cfcre.spans.batching import draw_samples, make_batch
from cfcre.spans.gold import gold_labels
from cfcre.spans.predicting import Thresholds, predict_labels
from cfcre.spans.sampling import NegativeRule
from cfcre.spans.state import SpanState
from cfcre.spans.training import batch_losses

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Both:
    """The two models over the same weights, and documents in both their forms."""

    def __init__(self, configured, types, documents) -> None:
        self.settings = configured.spans
        self.types = types
        self.documents = documents
        self.state = SpanState.fresh(types, configured)
        spread_out(self.state.network)
        self.network = self.state.network.eval()
        self.literal = LiteralModel(self.network, self.settings).eval()
        backend = load_backend(configured_folder(configured))
        cls, sep, unk = (backend.token_to_id(t) for t in ("[CLS]", "[SEP]", "[UNK]"))
        self.pieces = [word_pieces(backend, d.words, cls, sep, unk) for d in documents]
        self.encoded = self.state.tokenizer.encode([d.words for d in documents])
        self.gold = gold_labels(documents, types, self.settings.max_span_width)
        self.symmetric = np.array([name in types.symmetric for name in types.relations])
        self.rows = np.arange(len(documents))
        self.batch = make_batch(self.encoded, self.rows, self.settings.max_span_width, CPU)

    def samples(self, seed: int):
        return draw_samples(
            self.gold,
            self.rows,
            self.batch.grid,
            len(self.types.relations),
            self.symmetric,
            NegativeRule(self.settings.entity_negative_ratio, self.settings.entity_negative_floor),
            NegativeRule(
                self.settings.relation_negative_ratio, self.settings.relation_negative_floor
            ),
            np.random.default_rng(seed),
        )

    def literal_samples(self, seed: int):
        return literal_samples(
            self.documents, self.pieces, self.types, self.settings, np.random.default_rng(seed)
        )


def configured_folder(configured):
    from pathlib import Path

    return Path(configured.spans.encoder)


SHAPES = [
    {"max_span_width": 1},
    {"max_span_width": 3, "temperature": 2.0, "poly_epsilon": (1.0, -0.5)},
    {"max_span_width": 10, "entity_loss": "cross-entropy", "width_embedding": 7},
    {"entity_negative_ratio": 2, "entity_negative_floor": 3, "relation_negative_ratio": 1},
    {"entity_negative_floor": 0, "relation_negative_floor": 0, "relation_negative_ratio": 0},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_logits_of_all_spans_are_the_literal_ones(
    span_settings, label_types, make_documents, shape, seed
):
    both = Both(span_settings(**shape), label_types, make_documents(6, seed))
    with torch.no_grad():
        ours = both.network.entity_logits(both.network.encode(both.batch))
        states, _ = both.literal.encode([ids for ids, _ in both.pieces], 0)
        spans = [all_spans(len(d.words), both.settings.max_span_width) for d in both.documents]
        theirs = both.literal.entity_logits(states, spans, [p for _, p in both.pieces])
    for number, row in enumerate(spans):
        for s, (start, end) in enumerate(row):
            place = both.batch.grid.place(np.array([number]), np.array([start]), np.array([end]))
            torch.testing.assert_close(ours[int(place[0])], theirs[number, s], atol=1e-5, rtol=1e-5)
    assert sum(map(len, spans)) == both.batch.grid.inside.sum()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", [3, 4])
def test_losses_and_gradients_are_the_literal_ones(
    span_settings, label_types, make_documents, shape, seed
):
    both = Both(span_settings(**shape), label_types, make_documents(6, seed))
    samples, literal = both.samples(seed), both.literal_samples(seed)
    entity, relation = batch_losses(both.network, both.batch, samples, both.settings)
    ours = [entity / max(len(samples.spans), 1), relation / max(len(samples.head), 1)]
    theirs = both.literal.losses(literal, 0)
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), atol=1e-5, rtol=1e-5)
    gradients = []
    for losses in (ours, theirs):
        both.network.zero_grad()
        sum(losses).backward()
        gradients.append(
            {n: p.grad.clone() for n, p in both.network.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys()
    assert {"width.weight", "entity.weight"} <= gradients[0].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient, gradients[1][name], atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@QUICK
@given(
    count=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    draw=st.integers(0, 10_000),
    ratio=st.integers(0, 4),
    floor=st.integers(0, 8),
    width=st.integers(1, 12),
)
def test_samples_of_a_seed_are_the_literal_ones(
    span_settings, label_types, make_documents, count, seed, draw, ratio, floor, width
):
    configured = span_settings(
        entity_negative_ratio=ratio,
        entity_negative_floor=floor,
        relation_negative_ratio=ratio,
        relation_negative_floor=floor,
        max_span_width=width,
    )
    documents = make_documents(count, seed)
    both = object.__new__(Both)
    both.settings, both.types, both.documents = configured.spans, label_types, documents
    both.gold = gold_labels(documents, label_types, width)
    both.symmetric = np.array([False, False, True])
    both.rows = np.arange(count)
    from cfcre.spans.enumeration import SpanGrid

    lengths = [len(d.words) for d in documents]
    grid = SpanGrid(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), width)
    both.batch = type("Batch", (), {"grid": grid})
    both.pieces = [([], []) for _ in documents]
    ours, theirs = both.samples(draw), both.literal_samples(draw)

    document, start, end = grid.spans(ours.spans)
    found = sorted(
        zip(document.tolist(), start.tolist(), end.tolist(), ours.span_labels.tolist(), strict=True)
    )
    expected = sorted(
        (number, *span, label)
        for number, sample in enumerate(theirs)
        for span, label in zip(sample.spans, sample.span_labels, strict=True)
    )
    assert found == expected

    first = np.cumsum([0] + [len(s.entities) for s in theirs])
    expected_pairs = sorted(
        (int(first[number]) + head, int(first[number]) + tail, tuple(target))
        for number, sample in enumerate(theirs)
        for (head, tail), target in zip(sample.pairs, sample.targets, strict=True)
    )
    found_pairs = sorted(
        (h, t, tuple(y))
        for h, t, y in zip(
            ours.head.tolist(), ours.tail.tolist(), ours.targets.tolist(), strict=True
        )
    )
    assert found_pairs == expected_pairs


@pytest.mark.parametrize("seed", [5, 6, 7])
@pytest.mark.parametrize("token_budget", [64, 4096])
def test_predictions_are_the_literal_ones(
    span_settings, label_types, make_documents, seed, token_budget
):
    configured = span_settings(max_span_width=4, relation_threshold=0.5, entity_threshold=0.3)
    both = Both(configured, label_types, make_documents(9, seed))
    found = predict_labels(
        both.network,
        both.encoded,
        thresholds=Thresholds(
            np.array([0, 0.3, 0.3, 0.3], np.float32), np.array([0.5] * 3, np.float32)
        ),
        temperature=both.settings.temperature,
        symmetric=both.symmetric,
        compute=Compute(CPU, torch.float32),
        token_budget=token_budget,
    )
    with torch.no_grad():
        entities, relations = both.literal.predict(both.pieces, 0, [False, False, True])
    keys = [
        (int(d), int(s), int(e), int(k))
        for d, s, e, k in zip(
            found.entity_document,
            found.entity_start,
            found.entity_end,
            found.entity_type,
            strict=True,
        )
    ]
    assert keys == [(n, *key) for n, row in enumerate(entities) for key in row]
    np.testing.assert_allclose(
        found.entity_score, [s for row in entities for s in row.values()], atol=1e-5
    )
    first = np.cumsum([0] + [len(row) for row in entities])
    expected = {
        (int(first[n]) + head, int(first[n]) + tail, kind): score
        for n, row in enumerate(relations)
        for (head, tail, kind), score in row.items()
    }
    triples = zip(
        found.head.tolist(), found.tail.tolist(), found.relation_type.tolist(), strict=True
    )
    ours = dict(zip(triples, found.relation_score.tolist(), strict=True))
    assert len(keys) > 20 and len(ours) > 20, "nothing was predicted: the test says nothing"
    assert ours.keys() == expected.keys()
    for key, score in ours.items():
        assert score == pytest.approx(expected[key], abs=1e-5)


def test_dropout_acts_on_the_parts_of_the_concatenation(span_settings, label_types):
    """The masks of the shared parts, written into explicit concatenations, give the same logits."""
    from span_documents import random_document

    documents = [random_document(random.Random(i), 6, 3) for i in (11, 12, 13)]
    both = Both(span_settings(dropout=0.5, hidden_dropout=0.0), label_types, documents)
    network, grid = both.network, both.batch.grid
    with torch.no_grad():
        features = network.encode(both.batch)
        network.train()
        torch.manual_seed(3)
        ours = network.entity_logits(features)
        torch.manual_seed(3)
        spans = network.dropout(features.spans)
        table = network.dropout(network.width.weight[: grid.widths])
        first = network.dropout(features.first)
        network.eval()
        document, start, end = grid.spans(grid.places)
        for place, d, width in zip(
            grid.places.tolist(), document.tolist(), (end - start).tolist(), strict=True
        ):
            whole = torch.cat([spans[place], table[width - 1], first[d]])
            torch.testing.assert_close(ours[place], network.entity(whole), atol=1e-5, rtol=1e-5)
    assert (spans == 0).float().mean() > 0.3
