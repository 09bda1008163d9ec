"""Eq. 1: a sentence with marked entities to one relation representation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from cfcre.data.tokenisation import MARKERS
from cfcre.errors import ConfigurationError
from cfcre.modeling.anchor import anchor_features
from cfcre.modeling.dropout import ByteDropout, replace_dropout

__all__ = ["RelationEncoder", "load_transformer"]


class RelationEncoder(nn.Module):
    """``h = LayerNorm(W [x_E11 ; x_E21] + b)`` (eq. 1).

    x are the transformer's last hidden states at the markers in front of head and tail, which is
    how the representation knows the direction of the relation.

    Args:
        transformer: Any Hugging Face encoder whose embedding table already holds the markers.
        dropout: On the concatenated marker states, in training only.
        generator: Source of W's initial values.
    """

    def __init__(self, transformer: nn.Module, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.transformer = transformer
        config: Any = transformer.config
        size = int(config.hidden_size)
        self.size = size
        self.dropout = ByteDropout(dropout)
        self.output = nn.Linear(2 * size, size)
        self.norm = nn.LayerNorm(size)
        nn.init.normal_(self.output.weight, std=(2 * size) ** -0.5, generator=generator)
        nn.init.zeros_(self.output.bias)
        self._frozen = 0

    def forward(self, ids: Tensor, mask: Tensor, head: Tensor, tail: Tensor) -> Tensor:
        """Representations of one padded batch.

        Args:
            ids: int64 ``[B, L]``.
            mask: ``[B, L]``, false or 0 on padding.
            head: int64 ``[B]``, position of ``[E11]``.
            tail: int64 ``[B]``, position of ``[E21]``.

        Returns:
            float32 ``[B, d]``, whatever precision the transformer ran in.
        """
        states = self.transformer(
            input_ids=ids, attention_mask=self._attention_mask(mask)
        ).last_hidden_state
        return self._represent(states, head, tail)

    def with_anchor(
        self, ids: Tensor, mask: Tensor, head: Tensor, tail: Tensor, *, layer: int
    ) -> Tensor:
        """Representations, and behind them the features of a lower layer, in one pass.

        Args:
            ids: int64 ``[B, L]``, of the whole vocabulary: ends of entities are found by their
                markers.
            mask: As for :meth:`forward`.
            head: As for :meth:`forward`.
            tail: As for :meth:`forward`.
            layer: From 1 on; see :func:`cfcre.modeling.anchor.anchor_features`.

        Returns:
            float32 ``[B, d + 4 d]``.
        """
        found = self.transformer(
            input_ids=ids, attention_mask=self._attention_mask(mask), output_hidden_states=True
        )
        config: Any = self.transformer.config
        ends = (
            (ids == config.cfcre_base_vocabulary + MARKERS.index(marker)).long().argmax(dim=1)
            for marker in ("[E12]", "[E22]")
        )
        spans = zip((head, tail), ends, strict=True)
        features = anchor_features(found.hidden_states[layer], mask, *spans)
        return torch.cat([self._represent(found.last_hidden_state, head, tail), features], dim=-1)

    def _represent(self, states: Tensor, head: Tensor, tail: Tensor) -> Tensor:
        rows = torch.arange(len(states), device=states.device)
        pair = torch.cat([states[rows, head], states[rows, tail]], dim=-1)
        # The head of the network and all losses stay in float32: cosines between near prototypes
        # differ in digits that bfloat16 does not have.
        with torch.autocast(states.device.type, enabled=False):
            result: Tensor = self.norm(self.output(self.dropout(pair.float())))
        return result

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers, the lowest first.

        Raises:
            ConfigurationError: It is built in a way that was not met yet.
        """
        config: Any = self.transformer.config
        for module in self.transformer.modules():
            if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
                return module
        raise ConfigurationError(
            f"no list of {config.num_hidden_layers} layers was found in the encoder "
            f"{type(self.transformer).__name__}"
        )

    def freeze_lower(self, layers: int) -> None:
        """Train only the transformer's layers above the first ``layers``, and what follows them.

        What is frozen has no dropout either, so that it gives in training what it gives later.
        """
        self._frozen = layers
        self.transformer.requires_grad_(layers == 0)
        for layer in list(self.layers)[layers:]:
            layer.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> RelationEncoder:
        """Training or evaluation; frozen parts stay in evaluation."""
        super().train(mode)
        if mode and self._frozen:
            self.transformer.eval()
            for layer in list(self.layers)[self._frozen :]:
                layer.train()
        return self

    def _attention_mask(self, mask: Tensor) -> Tensor:
        """The mask as the transformer's attention takes it.

        With scaled-dot-product attention transformers would ask whether anything is masked, and a
        GPU would have to finish all its work to answer, in every step. A mask that has its final
        shape is taken as it is.
        """
        config: Any = self.transformer.config
        if config._attn_implementation == "sdpa":
            return mask.bool()[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        return mask.long()

    # Methods, not a property: nn.Module would register an assigned module instead of calling a
    # property's setter.
    def get_word_embeddings(self) -> nn.Embedding:
        """The transformer's embedding table, markers included."""
        return cast(nn.Embedding, self.transformer.get_input_embeddings())  # type: ignore[operator]

    def set_word_embeddings(self, table: nn.Embedding) -> None:
        """Replace the transformer's embedding table."""
        self.transformer.set_input_embeddings(table)  # type: ignore[operator]


def load_transformer(
    folder: Path, *, attention: str, hidden_dropout: float, markers: bool = True
) -> nn.Module:
    """Load an encoder's weights from safetensors and make room for the markers.

    The markers start as the mean of the embedding table, each with the small offset of the
    ``[unused]`` row of its number where the vocabulary has one, so that the four can be told apart
    without a random draw.

    Args:
        folder: ``config.json`` and ``model.safetensors``.
        attention: ``eager`` or ``sdpa``.
        hidden_dropout: On embeddings and sublayer outputs, in training only. Attention weights have
            none: at a few epochs a task it changes nothing that was measured, and on a CPU its
            masks cost more than the attention itself.
        markers: Whether the embedding table gets rows for the markers of eq. 1.

    Raises:
        ConfigurationError: The folder holds no encoder that transformers can load.
    """
    import transformers
    from transformers import AutoModel

    level = transformers.logging.get_verbosity()
    # The load report lists the pooler of every sentence encoder as an unexpected key.
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModel.from_pretrained(
            str(folder),
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            hidden_dropout_prob=hidden_dropout,
            attention_probs_dropout_prob=0.0,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot load an encoder from {folder.name}: {error}") from error
    finally:
        transformers.logging.set_verbosity(level)
    if getattr(model, "pooler", None) is not None:
        # Unused by eq. 1: its parameters would be saved and decayed for nothing.
        model.pooler = None
    replace_dropout(model)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if markers and "cfcre_base_vocabulary" not in config:
        _add_markers(model)
    result: nn.Module = model
    return result


def _add_markers(model: Any) -> None:
    old: nn.Embedding = model.get_input_embeddings()
    weight = old.weight.detach()
    base = weight.shape[0]
    model.config.cfcre_base_vocabulary = base
    mean = weight.mean(dim=0)
    offsets = [weight[1 + i] - mean for i in range(len(MARKERS))]
    markers = torch.stack([mean + 0.5 * offset for offset in offsets])
    table = nn.Embedding(base + len(MARKERS), weight.shape[1], padding_idx=old.padding_idx)
    with torch.no_grad():
        table.weight.copy_(torch.cat([weight, markers]))
    model.set_input_embeddings(table)
    model.config.vocab_size = base + len(MARKERS)
