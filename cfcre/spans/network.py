"""The network: encoder, span representations, and two classifiers over concatenations.

::

    span      = maxpool(words) ⊕ width embedding ⊕ [CLS]          → K + 1 entity logits
    pair      = head ⊕ maxpool(words between) ⊕ tail              → R relation logits
    head/tail = maxpool(words) ⊕ width embedding

Both classifiers are linear over a concatenation, so ``W [a ; b ; c] = W_a a + W_b b + W_c c``:
[CLS] is projected once a document, each width once, each entity once as head and once as tail, each
context once for both directions of its pair, and the parts are added. The weights are those of one
ordinary linear layer over the concatenation.

Dropout acts on the parts before they are projected. A part that many spans share (a document's
[CLS], a width, an entity's role) has one mask for all of them, where a concatenation would draw one
a span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cfcre.modeling.dropout import ByteDropout
from cfcre.spans.batching import SpanBatch
from cfcre.spans.gathering import gather_rows
from cfcre.spans.pooling import pool_spans, pool_words
from cfcre.spans.range_maxima import RangeMaxima

__all__ = ["SpanFeatures", "SpanNetwork"]


@dataclass(frozen=True)
class SpanFeatures:
    """What the classifiers read of one batch.

    Attributes:
        words: float32 ``[N, H]``, word representations.
        spans: float32 ``[W · N, H]``, max-pooled spans by their place in the grid.
        first: float32 ``[B, H]``, hidden state at [CLS].
        document: int64 ``[N]``, row of each word.
        longest: Words of the longest document.
    """

    words: Tensor
    spans: Tensor
    first: Tensor
    document: Tensor
    longest: int

    @property
    def widths(self) -> int:
        """W."""
        return len(self.spans) // max(len(self.words), 1)


class SpanNetwork(nn.Module):
    """SPANSpanBERT's and SpERT's network.

    Args:
        transformer: Any Hugging Face encoder.
        entity_types: K.
        relation_types: R; 0 is a model of entities alone.
        max_width: Words of the widest span.
        width_size: Size of the width embedding.
        dropout: On the parts of the representations.
        generator: Source of the initial weights, normal with deviation 0.02 as in BERT.
    """

    def __init__(
        self,
        transformer: nn.Module,
        *,
        entity_types: int,
        relation_types: int,
        max_width: int,
        width_size: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        config: Any = transformer.config
        self.size = int(config.hidden_size)
        self.max_width = max_width
        self.width_size = width_size
        self.dropout = ByteDropout(dropout)
        self.width = nn.Embedding(max_width, width_size)
        self.entity = nn.Linear(2 * self.size + width_size, entity_types + 1)
        self.relation = nn.Linear(3 * self.size + 2 * width_size, relation_types)
        for layer in (self.width, self.entity, self.relation):
            nn.init.normal_(layer.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.entity.bias)
        nn.init.zeros_(self.relation.bias)

    def encode(self, batch: SpanBatch) -> SpanFeatures:
        """Run the encoder and pool its states to words and spans."""
        states = self.transformer(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        # Pooling, classifiers and losses stay in float32 whatever the transformer ran in.
        states = states.float()
        words = pool_words(
            states.flatten(0, 1), batch.word_start, batch.word_end, batch.longest_word
        )
        grid = batch.grid
        counts = grid.word_offsets[1:] - grid.word_offsets[:-1]
        return SpanFeatures(
            words,
            pool_spans(words, grid.widths).flatten(0, 1),
            states[:, 0],
            batch.word_document,
            int(counts.max(initial=0)),
        )

    def entity_logits(self, features: SpanFeatures) -> Tensor:
        """Logits of every place of the grid, float32 ``[W · N, K + 1]``; place 0 is "no entity"."""
        size = self.size
        weight = self.entity.weight
        widths = features.widths
        pooled = functional.linear(self.dropout(features.spans), weight[:, :size])
        table = self.dropout(self.width.weight[:widths])
        width = functional.linear(table, weight[:, size : size + self.width_size])
        first = functional.linear(
            self.dropout(features.first), weight[:, size + self.width_size :], self.entity.bias
        )
        by_word = gather_rows(first, features.document)
        shape = (widths, len(features.words), weight.shape[0])
        return (pooled.view(shape) + width[:, None] + by_word[None]).flatten(0, 1)

    def relation_logits(
        self,
        features: SpanFeatures,
        places: Tensor,
        start: Tensor,
        end: Tensor,
        head: Tensor,
        tail: Tensor,
    ) -> Tensor:
        """Logits of pairs of entities.

        Args:
            features: Of the batch.
            places: int64 ``[E]``, places of the entities in the grid.
            start: int64 ``[E]``, first word of each in the batch.
            end: int64 ``[E]``, exclusive.
            head: int64 ``[P]``, numbers of entities.
            tail: int64 ``[P]``; entities of one document.

        Returns:
            float32 ``[P, R]``.
        """
        spans = gather_rows(features.spans, places)
        width = gather_rows(self.width.weight, end - start - 1)
        as_head, as_tail, between = self._relation_parts()
        by_head = functional.linear(self.dropout(torch.cat([spans, width], dim=1)), as_head)
        by_tail = functional.linear(self.dropout(torch.cat([spans, width], dim=1)), as_tail)
        context, which = _contexts(features, start, end, head, tail)
        by_context = functional.linear(self.dropout(context), between, self.relation.bias)
        return (
            gather_rows(by_head, head) + gather_rows(by_tail, tail) + gather_rows(by_context, which)
        )

    def _relation_parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of head, tail and context: the layer reads head ⊕ context ⊕ tail."""
        entity = self.size + self.width_size
        weight = self.relation.weight
        return (
            weight[:, :entity],
            weight[:, entity + self.size :],
            weight[:, entity : entity + self.size],
        )

    # Methods, not a property: nn.Module would register an assigned module instead of calling a
    # property's setter.
    def get_word_embeddings(self) -> nn.Embedding:
        """The transformer's embedding table."""
        return cast(nn.Embedding, self.transformer.get_input_embeddings())  # type: ignore[operator]

    def set_word_embeddings(self, table: nn.Embedding) -> None:
        """Replace the transformer's embedding table."""
        self.transformer.set_input_embeddings(table)  # type: ignore[operator]


def _contexts(
    features: SpanFeatures, start: Tensor, end: Tensor, head: Tensor, tail: Tensor
) -> tuple[Tensor, Tensor]:
    """Max-pooled words between the entities of each pair: distinct ranges, and each pair's own.

    Zeros where nothing stands between. A pair and its reverse share one range, and so do all pairs
    with entities that end and begin at the same words.
    """
    begin = torch.minimum(end[head], end[tail])
    stop = torch.maximum(start[head], start[tail])
    # Everything that is empty is one range.
    empty = stop <= begin
    begin = begin.masked_fill(empty, 0)
    stop = stop.masked_fill(empty, 0)
    count = len(features.words) + 1
    ranges, which = torch.unique(begin * count + stop, return_inverse=True)
    maxima = RangeMaxima(features.words, features.longest)
    return maxima.query(ranges // count, ranges % count), which
