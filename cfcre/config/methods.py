"""What each method of the field needs beyond ``method.*``: one section a method."""

from __future__ import annotations

from pydantic import Field

from cfcre.config.section import Section

__all__ = ["RpCreSettings"]


class RpCreSettings(Section):
    """RP-CRE alone: its attention over the prototypes, and its epochs."""

    initial_epochs: int = Field(2, ge=1, description="Epochs over D_k before memory is chosen.")
    refine_epochs: int = Field(
        2, ge=1, description="Epochs over M + D_k through the attention over prototypes."
    )
    attention_heads: int = Field(4, ge=1, description="Heads of the attention over prototypes.")
    key_size: int = Field(
        64, ge=1, description="Size of a query, a key and a value in one head. Paper, BERT: 768."
    )
