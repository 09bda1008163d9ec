"""Joint extraction of entities and relations: the section ``spans`` and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from cfcre.config.section import Section
from cfcre.errors import ConfigurationError

__all__ = ["SPAN_PRESETS", "SpanSettings", "span_preset"]

#: What each preset of the section ``spans`` changes against its defaults.
SPAN_PRESETS: dict[str, dict[str, Any]] = {
    "spanspanbert": {},
    "spert": {
        "width_embedding": 25,
        "dropout": 0.1,
        "temperature": 1.0,
        "entity_loss": "cross-entropy",
        "entity_negative_ratio": 0,
        "entity_negative_floor": 100,
        "relation_negative_ratio": 0,
        "relation_negative_floor": 100,
        "batch_size": 2,
    },
}


class SpanSettings(Section):
    """Joint entity and relation extraction (SPANSpanBERT, SpERT)."""

    preset: Literal["spanspanbert", "spert"] = Field(
        "spanspanbert",
        description="Where the values below start from; a value that is set as well stays as set.",
    )
    encoder: str = Field(
        "compact",
        description="compact, paper, spanbert (cased; weights non-commercial), hub name or path.",
    )
    max_length: int = Field(
        512, ge=16, description="Word pieces read; a longer document is refused, never cut."
    )
    max_span_width: int = Field(10, ge=1, le=64, description="Words of the widest span.")
    width_embedding: int = Field(50, ge=1, description="Size of the width embedding; SpERT: 25.")
    dropout: float = Field(0.2, ge=0, lt=1, description="On span and pair representations.")
    hidden_dropout: float = Field(0.1, ge=0, lt=1, description="In the transformer, in training.")
    temperature: float = Field(
        0.5, gt=0, description="T of the entity softmax, softmax(logits / T); 1 is the plain one."
    )
    entity_loss: Literal["poly", "cross-entropy"] = Field("poly")
    poly_epsilon: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        description="ε_1 … ε_N of PolyLoss: cross entropy + Σ ε_j (1 − p_true)^j.",
    )
    entity_negative_ratio: int = Field(
        30, ge=0, description="Spans without an entity drawn for each entity of a sentence."
    )
    entity_negative_floor: int = Field(
        30, ge=0, description="At least so many a sentence, also where it has no entity."
    )
    relation_negative_ratio: int = Field(
        30, ge=0, description="Pairs of entities without a relation drawn for each related pair."
    )
    relation_negative_floor: int = Field(30, ge=0, description="At least so many a sentence.")
    entity_threshold: float = Field(
        0.0, ge=0, le=1, description="Least probability of a predicted entity's type."
    )
    relation_threshold: float = Field(
        0.4, ge=0, le=1, description="Least probability of a predicted relation."
    )
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(8, ge=1, description="Documents of one update.")
    batch_token_budget: int = Field(
        4096,
        ge=64,
        description="Word pieces, padding included, in one forward pass of training; a larger "
        "batch is run in parts whose gradients are added up.",
    )
    learning_rate: float = Field(5e-5, gt=0, description="AdamW; rises, then falls to zero.")
    weight_decay: float = Field(
        1e-2, ge=0, description="Not on biases and layer normalisation, as in SpERT."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the updates with a rising rate.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        # An unknown preset is left for the field's own check to refuse.
        return {**SPAN_PRESETS.get(str(data.get("preset")), {}), **data}


def span_preset(name: str) -> dict[str, Any]:
    """A preset of ``spans`` written out: dotted key to value, for everything a preset decides.

    On the command line a preset is meant to hold whatever a configuration file says.

    Raises:
        ConfigurationError: There is no such preset.
    """
    if name not in SPAN_PRESETS:
        raise ConfigurationError(
            f"there is no preset {name!r} of spans; accepted: {', '.join(SPAN_PRESETS)}"
        )
    values = SpanSettings.model_validate({"preset": name}).model_dump()
    decided = {"preset", *(key for preset in SPAN_PRESETS.values() for key in preset)}
    return {f"spans.{key}": value for key, value in values.items() if key in decided}
