"""CRL: consistent representation learning. No classifier; relations are the means of their memory.

Phase one is supervised contrastive learning on D_k: ``crl.initial_epochs`` passes with L_cl against
a bank of the features of all of D_k, which has no momentum encoder: a row is what the encoder said
when it last saw the example. Phase two, from the second task on, is ``crl.replay_epochs`` passes
over the memory with L = L_cl + ω L_kd: contrastive replay against a bank of the memory, and a
distillation that keeps the similarities between old relations as the previous model had them.
Prediction is the nearest class mean. The MLP learns at the encoder's rate: a much faster one makes
all projections equal before the encoder can tell the relations apart.

Source: Zhao, Xu, Yang and Gao, "Consistent Representation Learning for Continual Relation
Extraction", Findings of ACL 2022. What differs from the public code is in docs/methods/crl.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import EncodedExamples
from cfcre.methods.base import Method, Session
from cfcre.methods.feature_bank import FeatureBank
from cfcre.methods.passes import train_passes
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses
from cfcre.modeling.losses import similarity_distillation_loss, supervised_contrastive_loss
from cfcre.modeling.prototypes import class_means

__all__ = ["CRL"]

_SIMILARITY = "previous.similarities"


class CRL(Method):
    """Contrastive replay and similarity distillation; see the module and ``Settings.crl``."""

    name = "crl"

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one: L_cl on D_k. Before it, what the previous model knew is written down."""
        settings = session.settings.crl
        _to_device(state, session)
        known = len(state.relation_embeddings)
        if known:
            state.extras[_SIMILARITY] = _similarities(state, known, session)
        labels = state.labels(list(train))
        encoded = session.encode(state, train)
        represented = session.represent(state, encoded)
        # The method has no classifier. Its relation embeddings are means too, so that a stream can
        # go on with a method that has one.
        means = class_means(represented, labels, len(state.catalogue))
        state.relation_embeddings = torch.cat([state.relation_embeddings, means[known:]])
        bank = _bank(state, represented, labels, session)

        def loss(h: Tensor, rows: Tensor) -> Losses:
            z = state.projection(h)
            value = supervised_contrastive_loss(
                z, bank.labels[rows], bank.features, bank.labels, tau=settings.tau
            )
            bank.replace(rows, z)
            return {"loss": value, "L_cl": value}

        train_passes(
            state,
            session,
            stage="train_task",
            phase="train_task",
            encoded=encoded,
            labels=torch.arange(len(labels)),
            loss=loss,
            heads=list(state.projection.parameters()),
            passes=settings.initial_epochs,
            head_learning_rate=_head_rate(session),
        )

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Phase two: contrastive replay with distillation, then the class means."""
        _to_device(state, session)
        labels = state.labels(state.memory)
        encoded = session.encode(state, state.memory)
        similarities = state.extras.pop(_SIMILARITY, None)
        if similarities is not None:
            self._replay(state, encoded, labels, similarities.to(session.compute.device), session)
        # What predictions are compared with is computed as predictions are: in float32.
        means = class_means(
            session.represent(state, encoded, mixed=False), labels, len(state.catalogue)
        )
        # A relation from before this method was chosen may have no memory: it keeps its embedding.
        stored = torch.bincount(labels, minlength=len(means)) > 0
        means = torch.where(stored[:, None], means, state.relation_embeddings)
        state.relation_embeddings = functional.normalize(means, dim=-1)
        state.prototypes = state.relation_embeddings.clone()

    @staticmethod
    def _replay(
        state: LearnerState,
        encoded: EncodedExamples,
        labels: Tensor,
        similarities: Tensor,
        session: Session,
    ) -> None:
        settings = session.settings.crl
        bank = _bank(state, session.represent(state, encoded), labels, session)

        def loss(h: Tensor, rows: Tensor) -> Losses:
            z = state.projection(h)
            y = bank.labels[rows]
            contrast = supervised_contrastive_loss(
                z, y, bank.features, bank.labels, tau=settings.tau
            )
            kept = similarity_distillation_loss(
                z,
                y,
                bank.prototypes(len(similarities)),
                similarities,
                tau=settings.distillation_tau,
            )
            bank.replace(rows, z)
            return {
                "loss": contrast + settings.distillation_weight * kept,
                "L_cl": contrast,
                "L_kd": kept,
            }

        train_passes(
            state,
            session,
            stage="consolidate",
            phase="replay",
            encoded=encoded,
            labels=torch.arange(len(labels)),
            loss=loss,
            heads=list(state.projection.parameters()),
            passes=settings.replay_epochs,
            head_learning_rate=_head_rate(session),
        )


def _to_device(state: LearnerState, session: Session) -> None:
    state.encoder.to(session.compute.device)
    state.projection.to(session.compute.device)


def _head_rate(session: Session) -> float:
    settings = session.settings
    return settings.crl.head_learning_rate or settings.method.learning_rate


def _bank(
    state: LearnerState, represented: Tensor, labels: Tensor, session: Session
) -> FeatureBank:
    with torch.no_grad():
        projected = state.projection(represented.to(session.compute.device))
    return FeatureBank(projected, labels, session.group)


def _similarities(state: LearnerState, known: int, session: Session) -> Tensor:
    """Cosines ``[R', R']`` of the prototypes of the R' known relations, in the projected space.

    Zeros in the row and the column of a relation without memory: so they are in the bank's.
    """
    labels = state.labels(state.memory)
    represented = session.represent(state, session.encode(state, state.memory))
    prototypes = _bank(state, represented, labels, session).prototypes(known)
    return (prototypes @ prototypes.T).cpu()
