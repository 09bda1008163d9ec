"""RP-CRE: representations refined by attention over relation prototypes (Cui et al., ACL 2021).

Phase one learns D_k (eq. 2 of CF-CRE, without augmentation). Phase two makes a prototype of each
relation from its memory, and trains encoder, attention and relation embeddings on the memory:
a representation attends to the prototypes, and what comes out of it is classified among all
relations. Prediction goes the same way, with prototypes of the trained encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Method, Session
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses, make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.attention_memory import AttentionMemory
from cfcre.modeling.compute import seeded
from cfcre.modeling.losses import replay_loss
from cfcre.modeling.prototypes import class_means, prediction_prototypes

__all__ = ["RPCRE"]


class RPCRE(Method):
    """Initial training, then rehearsal of the memory through attention over the prototypes."""

    name = "rp-cre"
    rule = "attention-memory"

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Initial training: L_new on D_k."""
        epochs = session.settings.rp_cre.initial_epochs
        learn_new_relations(state, train, augmented, session, epochs=epochs)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Rehearsal of M through the attention; the prototypes are computed before and after it."""
        settings, own = session.settings.method, session.settings.rp_cre
        device = session.compute.device
        state.encoder.to(device)
        labels = state.labels(state.memory)
        encoded = session.encode(state, state.memory)
        count = len(state.catalogue)
        embeddings = nn.Parameter(state.relation_embeddings.to(device))
        # The attention of the task before knows other prototypes: each task trains its own.
        start = torch.Generator().manual_seed(int(session.generator.integers(2**31)))
        attention = AttentionMemory(
            state.encoder.size, own.attention_heads, own.key_size, start
        ).to(device)
        represented = session.represent(state, encoded)
        prototypes = class_means(represented, labels, count).to(device)

        def loss(h: Tensor, y: Tensor) -> Losses:
            refined = attention(h, prototypes)
            value = replay_loss(refined, embeddings, y, scale=settings.similarity_scale)
            return {"loss": value, "L_refined": value}

        with seeded(*session.seed), compact_vocabulary(state.encoder, encoded) as mapped:
            optimizer = make_optimizer(state.encoder, [embeddings], settings)
            optimizer.add_param_group(
                {"params": list(attention.parameters()), "lr": own.attention_learning_rate}
            )
            for epoch in range(own.refine_epochs):
                train_epoch(
                    phase="refine",
                    encoder=state.encoder,
                    optimizer=optimizer,
                    encoded=mapped,
                    labels=labels,
                    loss=loss,
                    heads=[embeddings, *attention.parameters()],
                    group=session.group,
                    settings=settings,
                    compute=session.compute,
                    generator=session.generator,
                    log=session.log,
                    progress=lambda phase, done, total, epoch=epoch: session.progress(
                        "consolidate", epoch * total + done, own.refine_epochs * total
                    ),
                )
            represented = session.represent(state, mapped, mixed=False)
        state.relation_embeddings = embeddings.detach().cpu()
        state.prototypes = prediction_prototypes(
            class_means(represented, labels, count), state.relation_embeddings, weight=0.0
        )
        trained = {f"attention.{k}": v.detach().cpu() for k, v in attention.state_dict().items()}
        state.extras = {**trained, "attention.relations": state.relation_embeddings.clone()}
