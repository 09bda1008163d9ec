"""From plain text to entities and relations: the section ``extraction``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cfcre.config.section import Section

__all__ = ["ExtractionSettings"]

# Bounds also refuse NaN, which no score would reach.
Score = Annotated[float, Field(ge=-1, le=1)]


class ExtractionSettings(Section):
    """``cfcre extract``: how texts are read, and what is kept of what was found."""

    window: int = Field(
        256,
        ge=16,
        description="Word pieces read at once; a longer text is read in windows. No more than the "
        "span model reads.",
    )
    stride: int = Field(
        128, ge=1, description="Word pieces from the begin of one window to the next."
    )
    overlap: Literal["allow", "best", "error"] = Field(
        "best",
        description="Entities that share words: keep all, keep the best scored, or refuse the "
        "text.",
    )
    entity_thresholds: dict[str, Score] = Field(
        {}, description="Least score by entity type; for others the span model's own."
    )
    relation_thresholds: dict[str, Score] = Field(
        {},
        description="Least score by relation: a probability where the span model decides, a cosine "
        "where the relation model does; for others the model's own and the calibrated one.",
    )
    constraints: tuple[tuple[str, str, str], ...] = Field(
        (),
        description="Triples of head type, relation and tail type. A relation that is named in one "
        "holds between these types only.",
    )
    unseen_penalty: float = Field(
        0.2,
        ge=0,
        le=2,
        description="Taken off a relation's score between types that no training document related "
        "so; 0 is no constraint.",
    )
    reach: int = Field(
        64,
        ge=0,
        description="Most words between two entities for the relation model to look at the pair.",
    )
    false_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Calibration: largest share of pairs that a relation may be said of which no "
        "document has.",
    )
    uncalibrated_threshold: float = Field(
        0.82,
        ge=-1,
        le=1,
        description="Least cosine of the relation model where no calibration is at hand.",
    )
    max_text_chars: int = Field(
        2_000_000, ge=1, description="Longer texts are refused before they are read."
    )
