"""The pipeline that keeps the span model up to date: the section ``joint``."""

from __future__ import annotations

from pydantic import Field

from cfcre.config.section import Section

__all__ = ["JointSettings"]


class JointSettings(Section):
    """Documents that feed the span model, and when a span model replaces the champion."""

    enabled: bool = Field(
        True,
        description="Hand the SpERT documents of a batch on to the span model once the stream is "
        "done with them.",
    )
    symmetric_relations: tuple[str, ...] = Field(
        (), description="Relation types of documents that hold both ways."
    )
    min_documents: int = Field(
        1, ge=1, description="Accepted documents a batch must have; fewer rejects the batch."
    )
    max_types: int = Field(
        500, ge=2, description="Entity and relation types of all documents; more reject a batch."
    )
    min_entity_f1: float = Field(
        0.3, ge=0, le=1, description="Floor on the held-out documents so far; micro F1."
    )
    min_relation_f1: float = Field(0.1, ge=0, le=1, description="The same for relations, relaxed.")
    max_entity_drop: float = Field(
        0.03, ge=0, le=1, description="Largest fall of entity F1 against the champion."
    )
    max_relation_drop: float = Field(0.03, ge=0, le=1, description="The same for relations.")
    max_type_drop: float = Field(
        0.3, ge=0, le=1, description="Largest fall of one type's F1 against the champion."
    )
    min_type_support: int = Field(
        10, ge=1, description="Held-out labels below which a type's fall is shown but not judged."
    )
