"""A span model as a directory without pickle, written whole or not at all.

::

    model.json                 format, types, settings, lineage, library versions, file digests
    encoder/config.json        the transformer's configuration
    encoder/tokenizer.json     its tokenizer
    encoder/model.safetensors
    heads.safetensors          width embedding, entity and relation classifier
    quarantine.jsonl           training documents that were refused, where there were any

The same data, settings and seed give the same files on the same machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cfcre.config import Settings, SpanSettings
from cfcre.data.digests import file_digests, library_versions, verify_digests
from cfcre.data.encoder_files import resolve_encoder, verify_weights
from cfcre.data.files import atomic_directory, read_json, write_bytes, write_json
from cfcre.errors import CfcreError, ConfigurationError, DataError, StateError
from cfcre.modeling.compute import seeded
from cfcre.modeling.encoder import load_transformer
from cfcre.spans.documents import LabelTypes
from cfcre.spans.network import SpanNetwork
from cfcre.spans.reading import RefusedDocument
from cfcre.spans.word_pieces import WordPieceTokenizer, load_word_pieces

__all__ = ["FORMAT", "SpanState", "check_replaceable", "read_description"]

#: Raised when a change makes old directories unreadable.
FORMAT = 1


@dataclass
class SpanState:
    """A span model in memory.

    Attributes:
        network: Encoder and heads.
        tokenizer: The encoder's tokenizer.
        types: Entity and relation types.
        settings: What the network was built and trained with.
        lineage: Data digests, counts, seed and scores; whatever training reports.
        refused: Training documents that were set aside.
    """

    network: SpanNetwork
    tokenizer: WordPieceTokenizer
    types: LabelTypes
    settings: SpanSettings
    lineage: dict[str, Any] = field(default_factory=dict)
    refused: Sequence[RefusedDocument] = ()

    @classmethod
    def fresh(cls, types: LabelTypes, settings: Settings) -> SpanState:
        """An untrained model over a pretrained encoder.

        Raises:
            ConfigurationError: The encoder cannot be found or loaded, or reads fewer word pieces
                than ``spans.max_length``.
            DataError: There is no entity type or no relation type.
        """
        if not types.entities or not types.relations:
            raise DataError(
                f"{len(types.entities)} entity types and {len(types.relations)} relation types; "
                "joint extraction needs at least one of each"
            )
        folder = resolve_encoder(settings.spans.encoder)
        verify_weights(settings.spans.encoder, folder)
        network = _build(folder, types, settings.spans, settings.seed)
        config: Any = network.transformer.config
        longest = int(getattr(config, "max_position_embeddings", 0) or settings.spans.max_length)
        if settings.spans.max_length > longest:
            raise ConfigurationError(
                f"spans.max_length is {settings.spans.max_length}, the encoder "
                f"{settings.spans.encoder!r} reads {longest} word pieces at most"
            )
        return cls(network, load_word_pieces(folder), types, settings.spans)

    @classmethod
    def load(cls, folder: Path) -> SpanState:
        """Read a directory after checking every file against its digest.

        Raises:
            StateError: A file is missing or changed, or the format is another one.
        """
        description = read_description(folder)
        try:
            verify_digests(folder, description["files"], f"the span model {folder.name}")
            types = LabelTypes.from_json(description["types"], "model.json")
            settings = SpanSettings.model_validate(description["settings"])
            network = _build(folder / "encoder", types, settings, seed=0)
            heads = load_file(folder / "heads.safetensors")
            for name, module in _heads(network).items():
                prefix = f"{name}."
                module.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in heads.items() if k.startswith(prefix)}
                )
            return cls(
                network,
                load_word_pieces(folder / "encoder"),
                types,
                settings,
                dict(description["lineage"]),
            )
        except StateError:
            raise
        except (CfcreError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StateError(f"the span model {folder.name} cannot be read: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the directory whole or not at all; an older model is replaced.

        Raises:
            ConfigurationError: There is something else at that place.
        """
        check_replaceable(folder)
        with atomic_directory(folder) as partial:
            transformer: Any = self.network.transformer
            transformer.save_pretrained(str(partial / "encoder"))
            self.tokenizer.save(partial / "encoder" / "tokenizer.json")
            save_file(
                {
                    f"{name}.{key}": value.detach().cpu().contiguous()
                    for name, module in _heads(self.network).items()
                    for key, value in module.state_dict().items()
                },
                partial / "heads.safetensors",
            )
            if self.refused:
                write_bytes(partial / "quarantine.jsonl", _lines(self.refused))
            write_json(
                partial / "model.json",
                {
                    "format": FORMAT,
                    "types": self.types.to_json(),
                    "settings": self.settings.model_dump(mode="json"),
                    "lineage": self.lineage,
                    "versions": library_versions(),
                    "files": file_digests(partial),
                },
            )


def check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but a span model or an empty directory.

    Raises:
        ConfigurationError: There is something else at that place.
    """
    if not folder.exists() or (folder / "model.json").is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} exists and is no span model; choose another directory for the model"
        )


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``model.json`` alone, without the weights.

    Raises:
        StateError: It is missing, unreadable, or of another format.
    """
    path = folder / "model.json"
    if not path.is_file():
        raise StateError(f"{folder.name} is not a span model: it has no model.json")
    try:
        description: dict[str, Any] = read_json(path)
        found = description["format"]
    except (CfcreError, KeyError, TypeError) as error:
        raise StateError(f"the span model {folder.name} has an unreadable model.json") from error
    if found != FORMAT:
        raise StateError(
            f"the span model {folder.name} has format {found}; this version reads {FORMAT}"
        )
    return description


def _build(folder: Path, types: LabelTypes, settings: SpanSettings, seed: int) -> SpanNetwork:
    # Eager attention is the faster one on a CPU for sentences of this length, sdpa on a GPU.
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    # torch's layers draw from the global generator when they are made; their weights are then
    # drawn again from a generator of our own.
    with seeded(seed):
        transformer = load_transformer(
            folder, attention=attention, hidden_dropout=settings.hidden_dropout, markers=False
        )
        return SpanNetwork(
            transformer,
            entity_types=len(types.entities),
            relation_types=len(types.relations),
            max_width=settings.max_span_width,
            width_size=settings.width_embedding,
            dropout=settings.dropout,
            generator=torch.Generator().manual_seed(seed),
        )


def _heads(network: SpanNetwork) -> dict[str, torch.nn.Module]:
    return {"width": network.width, "entity": network.entity, "relation": network.relation}


def _lines(refused: Sequence[RefusedDocument]) -> bytes:
    # ASCII escapes: a refused document may hold half a surrogate pair, which UTF-8 has no form for.
    return "".join(json.dumps(r._asdict()) + "\n" for r in refused).encode("ascii")
