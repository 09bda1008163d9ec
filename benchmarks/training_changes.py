"""Changes of CF-CRE's training that no setting makes, for ``plus_changes.py``.

Each is a context in which one task is learned. Inside it a function that the method's module calls
is another one; the method's own code stays what users run.

For the CPU: nothing here moves a tensor to a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor, nn

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.methods import cf_cre
from cfcre.methods.base import Session
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.modeling.losses import (
    new_relation_loss,
    reconsolidation_loss,
    similarity_distillation_loss,
)
from cfcre.modeling.prototypes import class_means

__all__ = ["WARM_UP_PASSES", "as_it_is", "distilled", "warmed_up"]

WARM_UP_PASSES = 10


@contextmanager
def as_it_is(state: LearnerState, settings: Settings) -> Iterator[None]:
    """The method itself."""
    yield


@contextmanager
def distilled(state: LearnerState, settings: Settings) -> Iterator[None]:
    """γ2 (L_rs + ω L_kd) in place of γ2 L_rs: old relations stay as similar to each other.

    L_kd, ω and τ are CRL's, with h in place of its projection: what is distilled are the cosines of
    the previous model's prototypes.
    """
    before = state.prototypes
    if before is None:
        yield
        return
    similarities = before @ before.T

    def loss(h: Tensor, prototypes: Tensor, y: Tensor, *, scale: float) -> Tensor:
        kept = similarity_distillation_loss(
            h, y, prototypes[: len(similarities)], similarities, tau=settings.crl.distillation_tau
        )
        own = reconsolidation_loss(h, prototypes, y, scale=scale)
        return own + settings.crl.distillation_weight * kept

    with mock.patch.object(cf_cre, "reconsolidation_loss", loss):
        yield


@contextmanager
def warmed_up(state: LearnerState, settings: Settings) -> Iterator[None]:
    """L_new on the relation embeddings alone, before the encoder moves."""

    def learn(
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        _warm_up(state, train, session)
        learn_new_relations(state, train, augmented, session)

    with mock.patch.object(cf_cre, "learn_new_relations", learn):
        yield


def _warm_up(state: LearnerState, train: Sequence[RelationExample], session: Session) -> None:
    """Passes over D_k; the encoder's representations are computed once, without dropout."""
    settings = session.settings.method
    labels = state.labels(list(train))
    h = session.represent(state, session.encode(state, train))
    known = len(state.relation_embeddings)
    means = class_means(h, labels, len(state.catalogue))
    embeddings = nn.Parameter(torch.cat([state.relation_embeddings, means[known:]]))
    optimizer = torch.optim.AdamW(
        [embeddings], lr=settings.head_learning_rate, weight_decay=settings.weight_decay
    )
    for _ in range(WARM_UP_PASSES):
        order = torch.from_numpy(session.generator.permutation(len(labels)))
        for rows in order.split(settings.batch_size):
            optimizer.zero_grad()
            new_relation_loss(
                h[rows], embeddings, labels[rows], scale=settings.similarity_scale
            ).backward()
            optimizer.step()
    state.relation_embeddings = embeddings.detach()
