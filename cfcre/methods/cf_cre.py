"""CF-CRE: contrastive learning and focal loss on an EMAR-ACA base.

Phase one is EMAR-ACA's. Phase two runs ``epoch2`` rounds; a round computes the prototypes (eq. 3)
and then does

* ``iter1`` passes of replay and activation on A_k = M ∪ D_k with L_A = λ1 L_cl + λ2 L_rp,
* ``iter2`` passes of reconsolidation on M with L_R = γ1 L_fl + γ2 L_rs.

A loss of weight zero is not computed: with λ = (0, 1) and γ = (0, 1) this is EMAR-ACA, and the
projection of eq. 4 is neither used nor trained. The ablations give the weight of the loss that is
left out to the other one of its phase: +CL is γ = (0, 1), +FL is λ = (0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfcre.config import MethodSettings
from cfcre.data.schema import RelationExample
from cfcre.methods.augmentation import hybrid_classes, reversed_classes
from cfcre.methods.base import Method, Session
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses, make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.compute import seeded
from cfcre.modeling.losses import contrastive_loss, focal_loss, reconsolidation_loss, replay_loss
from cfcre.modeling.prototypes import class_means, prediction_prototypes

__all__ = ["CFCRE", "LossWeights"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the four losses of phase two.

    Attributes:
        lambda1: Of L_cl in L_A.
        lambda2: Of L_rp in L_A.
        gamma1: Of L_fl in L_R.
        gamma2: Of L_rs in L_R.
    """

    lambda1: float
    lambda2: float
    gamma1: float
    gamma2: float


class CFCRE(Method):
    """The literal method; see the module for the algorithm and ``Settings.method`` for symbols."""

    name = "cf-cre"

    def loss_weights(self, settings: MethodSettings) -> LossWeights:
        """λ and γ; those of the settings, unless a method fixes its own."""
        return LossWeights(settings.lambda1, settings.lambda2, settings.gamma1, settings.gamma2)

    def augment(self, train: Sequence[RelationExample], session: Session) -> list[RelationExample]:
        """ACA: hybrid and reversed classes."""
        settings = session.settings.augmentation
        result: list[RelationExample] = []
        if settings.hybrid:
            result += hybrid_classes(train, session.generator)
        if settings.reversed:
            result += reversed_classes(train, settings)
        return result

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one: L_new on D_k and the auxiliary classes."""
        learn_new_relations(state, train, augmented, session)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Phase two: rounds of replay and reconsolidation, then the prediction prototypes."""
        settings = session.settings.method
        weights = self.loss_weights(settings)
        device = session.compute.device
        state.encoder.to(device)
        state.projection.to(device)
        memory = state.memory
        # A_k = M ∪ D_k as a set: the new relations' exemplars are in both, and count once.
        stored = {e.content_key for e in memory}
        activation = [*memory, *(e for e in train if e.content_key not in stored)]
        labels = state.labels(activation)
        memory_labels = labels[: len(memory)]
        encoded = session.encode(state, activation)
        embeddings = nn.Parameter(state.relation_embeddings.to(device))
        count = len(state.catalogue)
        total_steps = settings.epoch2 * _steps(settings, len(activation), len(memory))

        def progress(phase: str, done: int, total: int) -> None:
            session.progress("consolidate", session.log.steps + done, total_steps)

        prototypes = torch.empty(0)

        def activation_loss(h: Tensor, y: Tensor) -> Losses:
            parts: Losses = {}
            if weights.lambda2:
                parts["L_rp"] = replay_loss(h, embeddings, y, scale=settings.similarity_scale)
            if weights.lambda1:
                parts["L_cl"] = contrastive_loss(
                    state.projection(h), state.projection(prototypes), y, tau=settings.tau
                )
            return _weighted(parts, {"L_cl": weights.lambda1, "L_rp": weights.lambda2})

        def memory_loss(h: Tensor, y: Tensor) -> Losses:
            scale = settings.similarity_scale
            parts: Losses = {}
            if weights.gamma1:
                parts["L_fl"] = focal_loss(h, prototypes, y, alpha=settings.alpha, scale=scale)
            if weights.gamma2:
                parts["L_rs"] = reconsolidation_loss(h, prototypes, y, scale=scale)
            return _weighted(parts, {"L_fl": weights.gamma1, "L_rs": weights.gamma2})

        heads = [
            *([embeddings] if weights.lambda2 else []),
            *(state.projection.parameters() if weights.lambda1 else []),
        ]
        with seeded(*session.seed), compact_vocabulary(state.encoder, encoded) as mapped:
            memory_encoded = mapped.head_rows(len(memory))
            optimizer = make_optimizer(state.encoder, heads, settings)
            for _ in range(settings.epoch2):
                represented = session.represent(state, memory_encoded)
                prototypes = class_means(represented, memory_labels, count).to(device)
                # Reconsolidation compares with prototypes, which are constants: no head learns.
                for phase, rows, y, loss, learning, passes in (
                    ("replay", mapped, labels, activation_loss, heads, settings.iter1),
                    (
                        "reconsolidation",
                        memory_encoded,
                        memory_labels,
                        memory_loss,
                        [],
                        settings.iter2,
                    ),
                ):
                    for _ in range(passes):
                        train_epoch(
                            phase=phase,
                            encoder=state.encoder,
                            optimizer=optimizer,
                            encoded=rows,
                            labels=y,
                            loss=loss,
                            heads=learning,
                            group=session.group,
                            settings=settings,
                            compute=session.compute,
                            generator=session.generator,
                            log=session.log,
                            progress=progress,
                        )
            # What predictions are compared with is computed as predictions are: in float32.
            represented = session.represent(state, memory_encoded, mixed=False)
        state.relation_embeddings = embeddings.detach().cpu()
        state.prototypes = prediction_prototypes(
            class_means(represented, memory_labels, count),
            state.relation_embeddings,
            settings.embedding_weight,
        )


def _weighted(parts: Losses, weights: dict[str, float]) -> Losses:
    total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
    return {"loss": total, **parts}


def _steps(settings: MethodSettings, activation: int, memory: int) -> int:
    size = settings.batch_size
    return settings.iter1 * -(-activation // size) + settings.iter2 * -(-memory // size)
