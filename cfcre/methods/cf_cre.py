"""CF-CRE: contrastive learning and focal loss on an EMAR-ACA base.

Phase one is EMAR-ACA's. Phase two runs ``epoch2`` rounds; a round computes the prototypes (eq. 3)
and then does

* ``iter1`` passes of replay and activation on A_k = M ∪ D_k with L_A = λ1 L_cl + λ2 L_rp,
* ``iter2`` passes of reconsolidation on M with L_R = γ1 L_fl + γ2 L_rs.

With λ = (0, 1) and γ = (0, 1) this is EMAR-ACA; λ alone or γ alone give the ablations +FL and +CL.
"""

from __future__ import annotations

from collections.abc import Sequence

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

__all__ = ["CFCRE"]


class CFCRE(Method):
    """The default method; see the module for the algorithm and ``Settings.method`` for symbols."""

    name = "cf-cre"

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
            replay = replay_loss(h, embeddings, y, scale=settings.similarity_scale)
            contrast = contrastive_loss(
                state.projection(h), state.projection(prototypes), y, tau=settings.tau
            )
            value = settings.lambda1 * contrast + settings.lambda2 * replay
            return {"loss": value, "L_cl": contrast, "L_rp": replay}

        def memory_loss(h: Tensor, y: Tensor) -> Losses:
            focal = focal_loss(
                h, prototypes, y, alpha=settings.alpha, scale=settings.similarity_scale
            )
            stable = reconsolidation_loss(h, prototypes, y, scale=settings.similarity_scale)
            value = settings.gamma1 * focal + settings.gamma2 * stable
            return {"loss": value, "L_fl": focal, "L_rs": stable}

        heads = [embeddings, *state.projection.parameters()]
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


def _steps(settings: MethodSettings, activation: int, memory: int) -> int:
    size = settings.batch_size
    return settings.iter1 * -(-activation // size) + settings.iter2 * -(-memory // size)
