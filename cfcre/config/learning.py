"""What a model is learned with, how its arithmetic runs, and when it replaces the champion."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from cfcre.config.section import Section

__all__ = [
    "AugmentationSettings",
    "ComputeSettings",
    "EncoderSettings",
    "GateSettings",
    "MemorySettings",
    "MethodName",
    "MethodSettings",
    "StreamSettings",
]

#: Methods that ``method.name`` takes; :mod:`cfcre.methods.registry` has the class of each.
MethodName = Literal[
    "cf-cre", "cf-cre-plus", "emar", "emar-aca", "rp-cre", "crl", "cear", "finetune", "joint"
]


class EncoderSettings(Section):
    """The sentence encoder (eq. 1)."""

    name: str = Field(
        "compact",
        description="compact (all-MiniLM-L6-v2), paper (bert-base-uncased), a hub name or a path.",
    )
    max_length: int = Field(
        256, ge=16, le=512, description="Word pieces read; longer rows keep the entities' window."
    )
    hidden_dropout: float = Field(
        0.1, ge=0, lt=1, description="In the transformer, in training; attention has none."
    )
    representation_dropout: float = Field(0.1, ge=0, lt=1, description="On the two marker states.")


class MethodSettings(Section):
    """The continual-learning method; symbols as in the CF-CRE paper."""

    name: MethodName = Field(
        "cf-cre-plus", description=f"One of {', '.join(get_args(MethodName))}."
    )
    epoch1: int = Field(2, ge=1, description="Epochs of L_new (eq. 2) over D_k and augmentation.")
    epoch2: int = Field(2, ge=0, description="Rounds of replay and reconsolidation.")
    iter1: int = Field(1, ge=0, description="Passes over A_k = M + D_k with L_A in a round.")
    iter2: int = Field(1, ge=0, description="Passes over M with L_R in a round.")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-4, gt=0, description="AdamW, encoder. Paper, BERT-base: 1e-5.")
    head_learning_rate: float = Field(3e-3, gt=0, description="AdamW, relation embeddings and MLP.")
    weight_decay: float = Field(1e-2, ge=0)
    gradient_clip: float = Field(10.0, gt=0, description="Largest gradient norm.")
    similarity_scale: float = Field(
        20.0,
        gt=0,
        description="Factor on the cosine in L_new, L_rp, L_fl and L_rs; 1 is the paper's text.",
    )
    lambda1: float = Field(0.1, ge=0, description="Weight of L_cl in L_A.")
    lambda2: float = Field(0.9, ge=0, description="Weight of L_rp in L_A.")
    gamma1: float = Field(0.5, ge=0, description="Weight of L_fl in L_R.")
    gamma2: float = Field(0.5, ge=0, description="Weight of L_rs in L_R.")
    tau: float = Field(0.1, gt=0, description="Temperature of L_cl (eq. 5).")
    alpha: float = Field(0.1, ge=0, description="Similarity margin of the set in eq. 8.")
    embedding_weight: float = Field(
        1 / 11,
        ge=0,
        le=1,
        description="Share of the relation embedding in the prediction prototype; 0 is eq. 3.",
    )
    projection_hidden: int = Field(384, ge=1, description="Hidden size of the MLP in eq. 4.")
    projection_size: int = Field(128, ge=1, description="Output size of the MLP in eq. 4.")

    @model_validator(mode="after")
    def _a_loss_is_left(self) -> Self:
        for names, passes in ((("lambda1", "lambda2"), "iter1"), (("gamma1", "gamma2"), "iter2")):
            if not any(getattr(self, name) for name in names):
                raise ValueError(
                    f"{' and '.join(names)} are both 0, so nothing is left to minimise; to leave "
                    f"the phase out, set {passes} to 0"
                )
        return self


class AugmentationSettings(Section):
    """Adversarial class augmentation (ACA), used in phase one only."""

    hybrid: bool = Field(
        True, description="Classes of one relation's head part and another's tail."
    )
    reversed: bool = Field(True, description="Classes with head and tail swapped.")
    symmetric_relations: tuple[str, ...] = Field(
        (
            "P26",
            "P3373",
            "per:siblings",
            "per:spouse",
            "per:alternate_names",
            "org:alternate_names",
            "per:other_family",
        ),
        description="Relations that hold both ways; they get no reversed class.",
    )


class MemorySettings(Section):
    """Episodic memory."""

    size: int = Field(
        10, ge=1, description="Examples kept a relation (K-means, nearest to centre)."
    )


class GateSettings(Section):
    """When a candidate replaces the champion."""

    min_new_task_accuracy: float = Field(0.5, ge=0, le=1, description="Floor on the newest task.")
    max_mean_forgetting: float = Field(0.25, ge=0, le=1)
    max_relation_drop: float = Field(
        0.6, ge=0, le=1, description="Largest fall of one relation's accuracy against the champion."
    )
    min_relation_support: int = Field(
        5, ge=1, description="Test rows below which a relation's drop is shown but not judged."
    )
    max_negative_flip_rate: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of rows the champion had right and the candidate wrong.",
    )


class ComputeSettings(Section):
    """Where and how the arithmetic runs."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor multiplies it natively."
    )
    threads: int = Field(
        0, ge=0, description="CPU threads a process; 0 is OMP_NUM_THREADS, or an equal share."
    )
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="Training processes on one machine, or on each node of a TrainJob; one a GPU.",
    )
    evaluation_processes: int = Field(
        1, ge=1, le=1024, description="The same for memory selection and evaluation."
    )
    collective_timeout_seconds: float = Field(
        600.0, gt=0, description="How long one training process waits for the others."
    )
    inference_token_budget: int = Field(
        4096, ge=64, description="Word pieces, padding included, in one inference batch."
    )


class StreamSettings(Section):
    """How tasks follow each other."""

    parent: Literal["latest", "champion"] = Field(
        "latest", description="State the next task starts from: the newest, or the champion's."
    )
