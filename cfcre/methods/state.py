"""The learner state: everything that task k + 1 needs, as a directory without pickle.

::

    state.json               format, catalogue, tasks, lineage, settings, versions, file digests
    encoder/config.json      the transformer's configuration
    encoder/tokenizer.json   its tokenizer
    encoder/model.safetensors
    heads.safetensors        output layer and norm (eq. 1), relation embeddings, projection (eq. 4)
    memory.jsonl             examples as text and spans
    prototypes.safetensors   unit rows, in catalogue order
    method.safetensors       what the method carries on; only where there is something

``state_in + batch -> state_out`` is the only way a model changes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cfcre.config import EncoderSettings, MethodSettings, Settings
from cfcre.data.digests import file_digests, library_versions, verify_digests
from cfcre.data.encoder_files import resolve_encoder, verify_weights
from cfcre.data.files import atomic_directory, read_examples, read_json, write_examples, write_json
from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import MarkerTokenizer, load_tokenizer
from cfcre.errors import CfcreError, StateError
from cfcre.modeling.encoder import RelationEncoder, load_transformer
from cfcre.modeling.projection import Projection
from cfcre.modeling.rules import NEAREST_PROTOTYPE

__all__ = ["FORMAT", "LearnerState", "read_description", "verify_files"]

#: Raised when a change makes old directories unreadable.
FORMAT = 1

_EXTRAS = "method.safetensors"


@dataclass
class LearnerState:
    """A learner in memory.

    Attributes:
        encoder: Eq. 1.
        tokenizer: Its tokenizer with markers.
        projection: Eq. 4.
        relation_embeddings: e, float32 ``[R, d]`` in catalogue order.
        catalogue: Relations in order of arrival.
        memory: At most ``memory.size`` examples a relation.
        prototypes: Unit rows ``[R, d]``; None until the task is consolidated. Every method has
            them: maps and reports read them, whatever the rule of prediction.
        tasks: One dict a learned task: ``task``, ``batch``, ``batch_name``, ``relations``.
        lineage: Where this state comes from.
        settings: What it was trained with (``Settings.portable()``).
        rule: Name of the rule of prediction, of :data:`cfcre.modeling.rules.RULES`.
        extras: Whatever else a method carries to its next stage or task, by a dotted name; on the
            CPU. Emptied when a stream goes on with another method.
    """

    encoder: RelationEncoder
    tokenizer: MarkerTokenizer
    projection: Projection
    relation_embeddings: Tensor
    catalogue: list[str] = field(default_factory=list)
    memory: list[RelationExample] = field(default_factory=list)
    prototypes: Tensor | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)
    lineage: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    rule: str = NEAREST_PROTOTYPE
    extras: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(cls, settings: Settings, *, like: LearnerState | None = None) -> LearnerState:
        """A learner that knows no relation yet.

        Args:
            settings: Of encoder, method and seed.
            like: A learner that has learned nothing; its weights are copied and its tokenizer is
                shared, where they would be read again. Made with the same settings of the encoder.

        Raises:
            ConfigurationError: The encoder can not be found or loaded.
        """
        folder = resolve_encoder(settings.encoder.name)
        if like is None:
            verify_weights(settings.encoder.name, folder)
        transformer = None if like is None else copy.deepcopy(like.encoder.transformer)
        encoder, projection = _build(
            folder, settings.encoder, settings.method, settings.seed, transformer
        )
        return cls(
            encoder=encoder,
            tokenizer=load_tokenizer(str(folder)) if like is None else like.tokenizer,
            projection=projection,
            relation_embeddings=torch.zeros(0, encoder.size),
            settings=settings.portable(),
        )

    @classmethod
    def load(cls, folder: Path) -> LearnerState:
        """Read a state directory after checking every file against its digest.

        Raises:
            StateError: A file is missing or changed, or the format is another one.
        """
        description = verify_files(folder)
        try:
            stored = description["settings"]
            encoder, projection = _build(
                folder / "encoder",
                EncoderSettings.model_validate(stored["encoder"]),
                MethodSettings.model_validate(stored["method"]),
                seed=0,
            )
            heads = load_file(folder / "heads.safetensors")
            encoder.output.load_state_dict(_part(heads, "output."))
            encoder.norm.load_state_dict(_part(heads, "norm."))
            projection.load_state_dict(_part(heads, "projection."))
            prototypes = folder / "prototypes.safetensors"
            return cls(
                encoder=encoder,
                tokenizer=load_tokenizer(str(folder / "encoder")),
                projection=projection,
                relation_embeddings=heads["relation_embeddings"],
                catalogue=list(description["catalogue"]),
                memory=read_examples(folder / "memory.jsonl"),
                prototypes=load_file(prototypes)["prototypes"] if prototypes.exists() else None,
                tasks=list(description["tasks"]),
                lineage=dict(description["lineage"]),
                settings=dict(stored),
                rule=str(description.get("rule", NEAREST_PROTOTYPE)),
                extras=_load_extras(folder, description["files"]),
            )
        except CfcreError:
            raise
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise StateError(f"the learner state {folder.name} cannot be read: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the directory whole or not at all."""
        with atomic_directory(folder) as partial:
            transformer: Any = self.encoder.transformer
            transformer.save_pretrained(str(partial / "encoder"))
            self.tokenizer.save(partial / "encoder" / "tokenizer.json")
            heads = {
                **_prefixed("output.", self.encoder.output),
                **_prefixed("norm.", self.encoder.norm),
                **_prefixed("projection.", self.projection),
                "relation_embeddings": self.relation_embeddings.detach().cpu().contiguous(),
            }
            save_file(heads, partial / "heads.safetensors")
            write_examples(partial / "memory.jsonl", self.memory)
            if self.prototypes is not None:
                save_file(
                    {"prototypes": self.prototypes.cpu().contiguous()},
                    partial / "prototypes.safetensors",
                )
            if self.extras:
                extras = {k: v.detach().cpu().contiguous() for k, v in self.extras.items()}
                save_file(extras, partial / _EXTRAS)
            write_json(
                partial / "state.json",
                {
                    "format": FORMAT,
                    "catalogue": self.catalogue,
                    "tasks": self.tasks,
                    "lineage": self.lineage,
                    "settings": self.settings,
                    "rule": self.rule,
                    "versions": library_versions(),
                    "files": file_digests(partial),
                },
            )

    def tensors(self) -> list[Tensor]:
        """Everything that training changes."""
        modules = [*self.encoder.parameters(), *self.projection.parameters()]
        extras = [v for _, v in sorted(self.extras.items()) if v.is_floating_point()]
        return [*modules, self.relation_embeddings, *extras]

    def labels(self, examples: list[RelationExample]) -> Tensor:
        """Catalogue index of each example's relation, int64 ``[N]``."""
        index = {relation: i for i, relation in enumerate(self.catalogue)}
        return torch.tensor([index[e.relation] for e in examples], dtype=torch.long)


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``state.json`` alone, without torch's weights.

    Raises:
        StateError: It is missing, unreadable, or of another format.
    """
    path = folder / "state.json"
    if not path.is_file():
        raise StateError(f"{folder.name} is not a learner state: it has no state.json")
    try:
        description: dict[str, Any] = read_json(path)
        found = description["format"]
    except (CfcreError, KeyError, TypeError) as error:
        raise StateError(f"the learner state {folder.name} has an unreadable state.json") from error
    if found != FORMAT:
        raise StateError(
            f"the learner state {folder.name} has format {found}; this version reads {FORMAT}"
        )
    return description


def verify_files(folder: Path) -> dict[str, Any]:
    """Check every file of a state directory against its digest; returns the description.

    Raises:
        StateError: A file is missing or changed, or the format is another one.
    """
    description = read_description(folder)
    verify_digests(folder, description["files"], f"the learner state {folder.name}")
    return description


def _build(
    folder: Path,
    encoder: EncoderSettings,
    method: MethodSettings,
    seed: int,
    transformer: torch.nn.Module | None = None,
) -> tuple[RelationEncoder, Projection]:
    # Eager attention is the faster one on a CPU for sentences of this length, sdpa on a GPU.
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    generator = torch.Generator().manual_seed(seed)
    if transformer is None:
        transformer = load_transformer(
            folder, attention=attention, hidden_dropout=encoder.hidden_dropout
        )
    relation_encoder = RelationEncoder(transformer, encoder.representation_dropout, generator)
    projection = Projection(
        relation_encoder.size, method.projection_hidden, method.projection_size, generator
    )
    return relation_encoder, projection


def _load_extras(folder: Path, files: dict[str, str]) -> dict[str, Tensor]:
    # Asked of the list of checked files, not of the disk: nothing unchecked is read.
    return load_file(folder / _EXTRAS) if _EXTRAS in files else {}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _prefixed(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {prefix + k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
