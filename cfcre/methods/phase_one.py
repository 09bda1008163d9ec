"""Phase one, shared by the classifier-based methods: L_new over D_k and its augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Session
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses, make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.compute import seeded
from cfcre.modeling.losses import new_relation_loss
from cfcre.modeling.prototypes import class_means

__all__ = ["learn_new_relations"]


def learn_new_relations(
    state: LearnerState,
    train: Sequence[RelationExample],
    augmented: Sequence[RelationExample],
    session: Session,
    *,
    epochs: int | None = None,
) -> None:
    """``epochs`` epochs, by default ``epoch1``, of L_new (eq. 2) on D_k ∪ augmentation.

    The embeddings of new relations and auxiliary classes start from the encoder: the mean
    representation of their examples. Relations known before keep theirs. The classifier is cut
    back to the real relations at the end.
    """
    settings = session.settings.method
    epochs = settings.epoch1 if epochs is None else epochs
    device = session.compute.device
    state.encoder.to(device)
    known = len(state.relation_embeddings)
    auxiliary = list(dict.fromkeys(e.relation for e in augmented))
    names = [*state.catalogue, *auxiliary]
    index = {name: i for i, name in enumerate(names)}
    examples = [*train, *augmented]
    labels = torch.tensor([index[e.relation] for e in examples], dtype=torch.long)
    encoded = session.encode(state, examples)
    means = class_means(session.represent(state, encoded), labels, len(names))
    embeddings = nn.Parameter(torch.cat([state.relation_embeddings, means[known:]]).to(device))

    def loss(h: Tensor, y: Tensor) -> Losses:
        value = new_relation_loss(h, embeddings, y, scale=settings.similarity_scale)
        return {"loss": value, "L_new": value}

    with seeded(*session.seed), compact_vocabulary(state.encoder, encoded) as mapped:
        optimizer = make_optimizer(state.encoder, [embeddings], settings)
        for epoch in range(epochs):
            train_epoch(
                phase="train_task",
                encoder=state.encoder,
                optimizer=optimizer,
                encoded=mapped,
                labels=labels,
                loss=loss,
                heads=[embeddings],
                group=session.group,
                settings=settings,
                compute=session.compute,
                generator=session.generator,
                log=session.log,
                progress=lambda phase, done, total, epoch=epoch: session.progress(
                    phase, epoch * total + done, epochs * total
                ),
            )
    state.relation_embeddings = embeddings.detach().cpu()[: len(state.catalogue)].clone()
