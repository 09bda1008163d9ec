"""What each method of the field needs beyond ``method.*``: one section a method."""

from __future__ import annotations

from pydantic import Field

from cfcre.config.section import Section

__all__ = ["RpCreSettings"]


class RpCreSettings(Section):
    """RP-CRE alone: its attention over the prototypes, and its epochs."""

    initial_epochs: int = Field(
        4, ge=1, description="Epochs of L_new over D_k. Paper, BERT-base at 1e-5: 10."
    )
    refine_epochs: int = Field(
        4, ge=1, description="Epochs over M through the attention. Paper, BERT-base at 1e-5: 10."
    )
    attention_heads: int = Field(4, ge=1, description="Heads of the attention over prototypes.")
    attention_learning_rate: float = Field(
        1e-3, gt=0, description="AdamW, attention. Public code: 1e-4."
    )
    key_size: int = Field(
        64,
        ge=1,
        description="Size of a query, a key and a value in one head. Public code: 256, values 768.",
    )
