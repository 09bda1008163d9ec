"""The span model written out literally: the oracle of the tests, the slow side of the benchmark.

Same weights, same mathematics as ``cfcre.spans``, by the book: every span masks a copy of its
sentence (B × S × L × H values), representations are concatenated and go through one linear layer,
negatives are drawn in Python loops, documents are padded to the longest, word pieces are made
document by document. It shares the encoder, the layers' weights and the document type with the
library and no other code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["LiteralModel", "literal_samples", "literal_scores"]

_LOW = -1e30


@dataclass
class LiteralSample:
    """One document: its pieces, its candidate spans and its candidate pairs."""

    ids: list[int]
    word_pieces: list[tuple[int, int]]
    spans: list[tuple[int, int]]
    span_labels: list[int]
    entities: list[tuple[int, int]]
    pairs: list[tuple[int, int]]
    targets: list[list[float]]


def word_pieces(backend: Any, words, start: int, end: int, unknown: int):
    """Ids of one document, and the pieces ``[first, last)`` of each word."""
    ids, places = [start], []
    for word in words:
        pieces = backend.encode(word, add_special_tokens=False).ids or [unknown]
        places.append((len(ids), len(ids) + len(pieces)))
        ids += pieces
    return [*ids, end], places


def all_spans(words: int, max_width: int) -> list[tuple[int, int]]:
    """Every span, by width and then by first word."""
    return [(i, i + w) for w in range(1, max_width + 1) for i in range(words - w + 1)]


def literal_samples(documents, pieces, types, settings, generator) -> list[LiteralSample]:
    """Positives and negatives of documents, one candidate at a time.

    Spans of all documents draw their keys first, then pairs of all documents.
    """
    samples = []
    for document, (ids, places) in zip(documents, pieces, strict=True):
        kept = [
            i for i, e in enumerate(document.entities) if e.end - e.start <= settings.max_span_width
        ]
        entities = [(document.entities[i].start, document.entities[i].end) for i in kept]
        labels = [types.entity_number[document.entities[i].type] for i in kept]
        keyed = []
        for span in all_spans(len(document.words), settings.max_span_width):
            key = generator.random()
            if span not in entities:
                keyed.append((key, span))
        wanted = max(settings.entity_negative_floor, settings.entity_negative_ratio * len(entities))
        chosen = {span for _, span in sorted(keyed)[:wanted]}
        negatives = [
            s for s in all_spans(len(document.words), settings.max_span_width) if s in chosen
        ]
        samples.append(
            LiteralSample(
                ids,
                places,
                entities + negatives,
                labels + [0] * len(negatives),
                entities,
                [],
                [],
            )
        )
    for document, sample in zip(documents, samples, strict=True):
        numbers = {}
        for i, e in enumerate(document.entities):
            if e.end - e.start <= settings.max_span_width:
                numbers[i] = len(numbers)
        related: dict[tuple[int, int], list[float]] = {}
        excluded = set()
        for head, tail, name in document.relations:
            if head not in numbers or tail not in numbers:
                continue
            pair = (numbers[head], numbers[tail])
            target = related.setdefault(pair, [0.0] * len(types.relations))
            target[types.relations.index(name)] = 1.0
            excluded.add(pair)
            if name in types.symmetric:
                excluded.add((pair[1], pair[0]))
        keyed = []
        for head in range(len(sample.entities)):
            for tail in range(len(sample.entities)):
                if head != tail:
                    key = generator.random()
                    if (head, tail) not in excluded:
                        keyed.append((key, (head, tail)))
        wanted = max(
            settings.relation_negative_floor, settings.relation_negative_ratio * len(related)
        )
        negatives = sorted(pair for _, pair in sorted(keyed)[:wanted])
        positives = sorted(related)
        sample.pairs = positives + negatives
        sample.targets = [related[p] for p in positives]
        sample.targets += [[0.0] * len(types.relations) for _ in negatives]
    return samples


class LiteralModel(nn.Module):
    """The network over explicit copies and concatenations.

    Args:
        network: Gives transformer and weights.
        settings: ``spans``.
        dropout: On the concatenated representations.
    """

    def __init__(self, network: Any, settings: Any, dropout: float = 0.0) -> None:
        super().__init__()
        self.transformer = network.transformer
        self.width = network.width
        self.entity = network.entity
        self.relation = network.relation
        self.settings = settings
        self.dropout = nn.Dropout(dropout)

    def encode(self, ids: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
        """Hidden states ``[B, L, H]`` and the mask."""
        longest = max(map(len, ids))
        padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
        states = self.transformer(input_ids=padded, attention_mask=mask).last_hidden_state
        return states, mask

    def pool(self, states: Tensor, masks: Tensor) -> Tensor:
        """Maximum over the pieces of each mask: ``[B, L, H]``, ``[B, S, L]`` to ``[B, S, H]``."""
        penalty = (masks.unsqueeze(-1) == 0).float() * _LOW
        copies = penalty + states.unsqueeze(1).repeat(1, masks.shape[1], 1, 1)
        return copies.max(dim=2)[0]

    def piece_masks(self, ranges, word_places, length: int) -> Tensor:
        """Masks of ranges of words, ``[B, S, L]``; padded rows and empty ranges are all false."""
        count = max([len(r) for r in ranges] + [1])
        masks = torch.zeros(len(ranges), count, length, dtype=torch.bool)
        for b, row in enumerate(ranges):
            for s, (start, end) in enumerate(row):
                if start < end:
                    first, last = word_places[b][start][0], word_places[b][end - 1][1]
                    masks[b, s, first:last] = True
        return masks

    def entity_logits(self, states: Tensor, spans, word_places) -> Tensor:
        """``[B, S, K + 1]``."""
        pooled = self.pool(states, self.piece_masks(spans, word_places, states.shape[1]))
        widths = torch.zeros(pooled.shape[:2], dtype=torch.long)
        for b, row in enumerate(spans):
            for s, (start, end) in enumerate(row):
                widths[b, s] = end - start - 1
        first = states[:, :1].repeat(1, pooled.shape[1], 1)
        representation = torch.cat([pooled, self.width(widths), first], dim=2)
        return self.entity(self.dropout(representation))

    def relation_logits(self, states: Tensor, entities, pairs, word_places) -> Tensor:
        """``[B, P, R]``."""
        count = max([len(p) for p in pairs] + [1])
        blank = [(0, 1)]
        heads = [[e[h] for h, _ in p] or blank for e, p in zip(entities, pairs, strict=True)]
        tails = [[e[t] for _, t in p] or blank for e, p in zip(entities, pairs, strict=True)]
        between = [
            [(min(h[1], t[1]), max(h[0], t[0])) for h, t in zip(head_row, tail_row, strict=True)]
            for head_row, tail_row in zip(heads, tails, strict=True)
        ]
        parts = []
        for row in (heads, tails):
            pooled = self.pool(states, self.piece_masks(row, word_places, states.shape[1]))
            widths = torch.zeros(len(row), count, dtype=torch.long)
            for b, spans in enumerate(row):
                for s, (start, end) in enumerate(spans):
                    widths[b, s] = end - start - 1
            parts.append(torch.cat([pooled, self.width(widths)], dim=2))
        masks = self.piece_masks(between, word_places, states.shape[1])
        context = self.pool(states, masks)
        context[~masks.any(dim=2)] = 0
        representation = torch.cat([parts[0], context, parts[1]], dim=2)
        return self.relation(self.dropout(representation))

    def losses(self, samples: list[LiteralSample], pad: int) -> tuple[Tensor, Tensor]:
        """Entity and relation loss, each a mean over the samples of the batch."""
        states, _ = self.encode([s.ids for s in samples], pad)
        places = [s.word_pieces for s in samples]
        logits = self.entity_logits(states, [s.spans for s in samples], places)
        total, count = logits.new_zeros(()), 0
        for b, sample in enumerate(samples):
            own = logits[b, : len(sample.spans)]
            probabilities = torch.softmax(own / self.settings.temperature, dim=1)
            true = probabilities[range(len(own)), sample.span_labels]
            loss = -torch.log(true)
            if self.settings.entity_loss == "poly":
                for j, epsilon in enumerate(self.settings.poly_epsilon, start=1):
                    loss = loss + epsilon * (1 - true) ** j
            total, count = total + loss.sum(), count + len(own)
        entity = total / max(count, 1)
        if not any(s.pairs for s in samples):
            return entity, logits.new_zeros(())
        logits = self.relation_logits(
            states, [s.entities for s in samples], [s.pairs for s in samples], places
        )
        total, count = logits.new_zeros(()), 0
        for b, sample in enumerate(samples):
            if sample.pairs:
                p = torch.sigmoid(logits[b, : len(sample.pairs)])
                y = torch.tensor(sample.targets)
                loss = -(y * torch.log(p) + (1 - y) * torch.log(1 - p))
                total, count = total + loss.mean(dim=1).sum(), count + len(sample.pairs)
        return entity, total / count

    def predict(self, pieces, pad: int, symmetric: list[bool]):
        """Entities ``(start, end, type)`` and relations of each document, with their scores.

        Args:
            pieces: Ids and word places of each document.
            pad: Id of padding.
            symmetric: Which relations hold both ways.

        Returns:
            A dict of entities to scores, and a dict of ``(head, tail, type)`` to scores.
        """
        states, _ = self.encode([ids for ids, _ in pieces], pad)
        places = [p for _, p in pieces]
        spans = [all_spans(len(p), self.settings.max_span_width) for p in places]
        logits = self.entity_logits(states, spans, places)
        probabilities = torch.softmax(logits / self.settings.temperature, dim=2).tolist()
        entities: list[dict] = []
        for b, row in enumerate(spans):
            found = {}
            for s, (start, end) in enumerate(row):
                best = int(np.argmax(probabilities[b][s]))
                if best and probabilities[b][s][best] >= self.settings.entity_threshold:
                    found[(start, end, best)] = probabilities[b][s][best]
            entities.append(dict(sorted(found.items())))
        ends = [[key[:2] for key in row] for row in entities]
        pairs = [
            [(h, t) for h in range(len(row)) for t in range(len(row)) if h != t] for row in ends
        ]
        relations: list[dict] = [{} for _ in pieces]
        if any(pairs):
            scores = torch.sigmoid(self.relation_logits(states, ends, pairs, places)).tolist()
            for b, row in enumerate(pairs):
                for p, (head, tail) in enumerate(row):
                    for kind, score in enumerate(scores[b][p]):
                        if score >= self.settings.relation_threshold:
                            key = (head, tail, kind)
                            if symmetric[kind] and tail < head:
                                key = (tail, head, kind)
                            relations[b][key] = max(score, relations[b].get(key, 0.0))
        return entities, relations


def literal_scores(gold: list[set], found: list[set], kinds: list[Any], kind) -> dict[str, Any]:
    """Precision, recall and F1 by counting tuples: micro, macro and per type.

    Args:
        gold: Tuples of each document.
        found: The same of the predictions.
        kinds: Types in order.
        kind: Type of a tuple.
    """

    def figures(right: int, predicted: int, support: int) -> tuple[float, float, float]:
        p = right / predicted if predicted else 0.0
        r = right / support if support else 0.0
        return p, r, 2 * p * r / (p + r) if p + r else 0.0

    rows = {}
    for name in kinds:
        g = [{x for x in s if kind(x) == name} for s in gold]
        f = [{x for x in s if kind(x) == name} for s in found]
        counts = (
            sum(len(a & b) for a, b in zip(g, f, strict=True)),
            sum(map(len, f)),
            sum(map(len, g)),
        )
        rows[name] = (figures(*counts), counts)
    seen = [f for f, (_, predicted, support) in rows.values() if predicted or support]
    macro = [sum(f[i] for f in seen) / len(seen) if seen else 0.0 for i in range(3)]
    totals = [sum(counts[i] for _, counts in rows.values()) for i in range(3)]
    return {
        "micro": figures(*totals),
        "macro": tuple(macro),
        "per_type": {name: f for name, (f, _) in rows.items()},
    }
