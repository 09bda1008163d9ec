"""What each method of the field needs beyond ``method.*``: one section a method."""

from __future__ import annotations

from pydantic import Field

from cfcre.config.section import Section

__all__ = ["CearSettings", "CfCrePlusSettings", "CrlSettings", "RpCreSettings"]


class CfCrePlusSettings(Section):
    """CF-CRE+ alone: what is frozen after the first task, and the classifier on it."""

    frozen_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the encoder's layers frozen after the first task."
    )
    anchor_weight: float = Field(
        0.2, ge=0, description="Weight w of the frozen features' classifier; 0 leaves it out."
    )
    shrinkage: float = Field(
        0.3, gt=0, le=1, description="Share of the identity in the classifier's covariance."
    )


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


class CrlSettings(Section):
    """CRL alone; symbols as in its paper. Its MLP is that of ``method.projection_*``."""

    initial_epochs: int = Field(
        8, ge=1, description="Passes of L_cl over D_k. Public code, BERT-base: 10."
    )
    replay_epochs: int = Field(
        5, ge=0, description="Passes over the memory from task 2 on. Public code, BERT-base: 10."
    )
    head_learning_rate: float | None = Field(
        None, gt=0, description="AdamW, MLP. None: method.learning_rate, one rate as in the paper."
    )
    tau: float = Field(0.1, gt=0, description="Temperature τ of L_cl in both phases.")
    distillation_tau: float = Field(
        0.1, gt=0, description="Temperature of L_kd; public code multiplies by 10, which is 0.1."
    )
    distillation_weight: float = Field(1.0, ge=0, description="Weight ω of L_kd in replay.")


class CearSettings(Section):
    """CEAR alone; symbols as in its paper. Its MLP is that of ``method.projection_*``."""

    initial_epochs: int = Field(
        4, ge=1, description="Epochs of L_new over D_k. Public code, BERT-base: 10."
    )
    memory_epochs: int = Field(
        3, ge=0, description="Passes over the augmented memory. Public code, BERT-base: 10."
    )
    alpha: float = Field(
        0.5, ge=0, le=1, description="Share α of the classifier in the prediction."
    )
    beta: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share β of the memory's mean in a prototype; the rest is the static one.",
    )
    tau: float = Field(0.1, gt=0, description="Temperature τ of L_cl and of the nearest prototype.")
    margin: float = Field(0.1, ge=0, description="Margin m of L_m, in units of cosine.")
    mu: float = Field(0.5, ge=0, description="Weight μ of the margin loss L_m.")
    gamma: float = Field(1.25, ge=0, description="Exponent γ of (1 - p) in focal distillation.")
    distillation_tau: float = Field(
        0.5, gt=0, description="Temperature of the similarities that weigh focal distillation."
    )
    lambda1: float = Field(1.1, ge=0, description="Weight λ1 of the classifier's distillation.")
    lambda2: float = Field(0.5, ge=0, description="Weight λ2 of the contrast's distillation.")
