"""CEAR: continual extraction of analogous relations.

Phase one is ``cear.initial_epochs`` epochs of L_new on D_k, without auxiliary classes. At its end
every new relation gets its *static* prototype, the mean of all its training rows. Phase two is
``cear.memory_epochs`` passes over the augmented memory (entities swapped, sentences joined) with

    L = L_cls + λ1 L_fd1 + L_cl + μ L_m + λ2 L_fd2,

the classifier's cross entropy and the contrast with projected prototypes trained together, each
with a focal distillation of what the previous model answered. A prototype is *memory-insensitive*:
``(1 - β) static + β mean of memory``, so it stays near all the rows that memory stands for.
Prediction blends: ``α softmax of the classifier + (1 - α) softmax of the nearest prototypes``.

Source: Zhao, Cui and Hu, "Improving Continual Relation Extraction by Distinguishing Analogous
Semantics", ACL 2023. What differs from the public code is in docs/methods/cear.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import EncodedExamples, fits
from cfcre.errors import StateError
from cfcre.methods.base import Method, Session
from cfcre.methods.memory_augmentation import augment_memory
from cfcre.methods.passes import train_passes
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.previous_answers import Answers
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses
from cfcre.modeling.blended import BLENDED, blended_tensors, layer_length
from cfcre.modeling.losses import (
    contrastive_loss,
    cosine_similarity,
    focal_distillation_loss,
    margin_loss,
    replay_loss,
)
from cfcre.modeling.prototypes import class_means, prediction_prototypes

__all__ = ["CEAR"]

_STATIC = "prototypes.static"


class CEAR(Method):
    """Memory-insensitive prototypes and focal distillation; see ``Settings.cear``."""

    name = "cear"
    rule = BLENDED

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one: what the previous model answers, L_new on D_k, and the static prototypes."""
        _to_device(state, session)
        known = len(state.relation_embeddings)
        if known:
            _ask_previous(state, [*state.memory, *train], session)
        learn_new_relations(
            state, train, augmented, session, epochs=session.settings.cear.initial_epochs
        )
        # Read at prediction, so computed in float32. A relation keeps the prototype of the task
        # that brought it, whatever examples come later.
        labels = state.labels(list(train))
        represented = session.represent(state, session.encode(state, train), mixed=False)
        means = class_means(represented, labels, len(state.catalogue))
        state.extras[_STATIC] = torch.cat([_static(state, known), means[known:]])

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Phase two: integrated training on the augmented memory, then what predictions need."""
        _to_device(state, session)
        memory = state.memory
        labels = state.labels(memory)
        answers = Answers.take(state.extras, memory)
        embeddings = nn.Parameter(state.relation_embeddings.to(session.compute.device))
        examples, origins = augment_memory(memory, session.generator)
        # Another entity may be longer; what the encoder can not read whole is left out.
        readable = np.array(fits(state.tokenizer, examples, session.settings.encoder.max_length))
        readable[: len(memory)] = True
        kept = np.flatnonzero(readable)
        _Integrated(state, session, labels, embeddings, answers).train(
            [examples[i] for i in kept], torch.from_numpy(origins[kept])
        )
        represented = session.represent(state, session.encode(state, memory), mixed=False)
        state.relation_embeddings = embeddings.detach().cpu()
        state.prototypes = _blend(state, represented, labels, session)
        settings = session.settings
        state.extras |= blended_tensors(
            classifier=state.relation_embeddings,
            projection=state.projection,
            prototypes=state.prototypes,
            alpha=settings.cear.alpha,
            tau=settings.cear.tau,
        )


class _Integrated:
    """Integrated training of classifier and contrast on the augmented memory.

    Args:
        state: Trained in place.
        session: The stage.
        labels: Of the memory, int64 ``[M]``.
        embeddings: The classifier, ``[R, d]``; trained.
        answers: Of the previous model to the memory; None in the first task.
    """

    def __init__(
        self,
        state: LearnerState,
        session: Session,
        labels: Tensor,
        embeddings: nn.Parameter,
        answers: Answers | None,
    ) -> None:
        device = session.compute.device
        self._state, self._session = state, session
        self._memory_labels = labels
        self._labels = labels.to(device)
        self._embeddings = embeddings
        self._answers = None
        if answers is not None:
            self._answers = Answers(answers.classifier.to(device), answers.contrast.to(device))
        self._prototypes = torch.empty(0)

    def train(self, examples: Sequence[RelationExample], origins: Tensor) -> None:
        """``cear.memory_epochs`` passes.

        Args:
            examples: The memory, then what was made of it.
            origins: Row of the memory that each came from, int64 ``[N]``. A row made of an example
                is compared with the previous model's answer to the example itself.
        """
        train_passes(
            self._state,
            self._session,
            stage="consolidate",
            phase="memory",
            encoded=self._session.encode(self._state, examples),
            labels=origins,
            loss=self._loss,
            heads=[self._embeddings, *self._state.projection.parameters()],
            passes=self._session.settings.cear.memory_epochs,
            prepare=self._prepare,
        )

    def _prepare(self, encoded: EncodedExamples) -> None:
        """Prototypes of a pass, from the memory as the encoder represents it now."""
        memory = encoded.head_rows(len(self._memory_labels))
        represented = self._session.represent(self._state, memory)
        self._prototypes = _blend(self._state, represented, self._memory_labels, self._session).to(
            self._session.compute.device
        )

    def _loss(self, h: Tensor, rows: Tensor) -> Losses:
        settings, scale = (
            self._session.settings.cear,
            self._session.settings.method.similarity_scale,
        )
        y = self._labels[rows]
        z = self._state.projection(layer_length(h))
        anchors = self._state.projection(layer_length(self._prototypes))
        contrast = contrastive_loss(z, anchors, y, tau=settings.tau)
        parts = {
            "L_cls": replay_loss(h, self._embeddings, y, scale=scale),
            "L_cl": contrast,
            "L_m": margin_loss(z, anchors, y, margin=settings.margin),
        }
        value = parts["L_cls"] + parts["L_cl"] + settings.mu * parts["L_m"]
        if self._answers is not None:
            old = self._answers.relations
            near = cosine_similarity(z, anchors)
            parts["L_fd1"] = focal_distillation_loss(
                scale * cosine_similarity(h, self._embeddings),
                self._answers.classifier[rows],
                cosine_similarity(h, self._prototypes[:old]),
                y,
                gamma=settings.gamma,
                tau=settings.distillation_tau,
            )
            parts["L_fd2"] = focal_distillation_loss(
                near / settings.tau,
                self._answers.contrast[rows],
                near[:, :old],
                y,
                gamma=settings.gamma,
                tau=settings.distillation_tau,
            )
            value = value + settings.lambda1 * parts["L_fd1"] + settings.lambda2 * parts["L_fd2"]
        return {"loss": value, **parts}


def _to_device(state: LearnerState, session: Session) -> None:
    state.encoder.to(session.compute.device)
    state.projection.to(session.compute.device)


def _ask_previous(
    state: LearnerState, examples: Sequence[RelationExample], session: Session
) -> None:
    """Write what the state, which is the previous model still, answers to the examples."""
    if state.prototypes is None:
        raise StateError(
            "the state that the task starts from was not consolidated; start from one that was"
        )
    device, tau = session.compute.device, session.settings.cear.tau
    represented = session.represent(state, session.encode(state, examples)).to(device)
    with torch.no_grad():
        anchors = state.projection(layer_length(state.prototypes.to(device)))
        contrast = cosine_similarity(state.projection(layer_length(represented)), anchors) / tau
        logits = cosine_similarity(represented, state.relation_embeddings.to(device))
    scale = session.settings.method.similarity_scale
    Answers(scale * logits, contrast).write(state.extras, examples)


def _static(state: LearnerState, known: int) -> Tensor:
    """Static prototypes of the known relations ``[known, d]``.

    A relation that another method brought, before the stream went on with this one, has none: the
    classifier's row, which its training rows drew to it, stands in.
    """
    static = state.extras.get(_STATIC, state.relation_embeddings[:0])
    return torch.cat([static, state.relation_embeddings[len(static) : known]])


def _blend(state: LearnerState, represented: Tensor, labels: Tensor, session: Session) -> Tensor:
    """Memory-insensitive prototypes, unit rows ``[R, d]``, of the memory's representations."""
    means = class_means(represented, labels, len(state.catalogue))
    return prediction_prototypes(means, state.extras[_STATIC], 1 - session.settings.cear.beta)
