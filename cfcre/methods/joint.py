"""The upper bound: every example of every task is kept, and learned from again in each task."""

from __future__ import annotations

from collections.abc import Sequence

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Method, Session
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.modeling.prototypes import class_means, prediction_prototypes

__all__ = ["Joint"]


class Joint(Method):
    """L_new (eq. 2) over the rows of all tasks so far, from the weights that there are.

    ``epoch1 + epoch2`` epochs a task, which are the passes that CF-CRE makes over D_k. The memory
    is all rows, whatever ``memory.size`` says. No continual method can be expected to do better.
    """

    name = "joint"
    keeps_everything = True

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """L_new on D_1 ∪ … ∪ D_k."""
        seen = {e.content_key for e in state.memory}
        everything = [*state.memory, *(e for e in train if e.content_key not in seen)]
        settings = session.settings.method
        epochs = settings.epoch1 + settings.epoch2
        learn_new_relations(state, everything, augmented, session, epochs=epochs)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Prototypes of all rows, as CF-CRE makes them of its memory; nothing is trained."""
        state.encoder.to(session.compute.device)
        encoded = session.encode(state, state.memory)
        means = class_means(
            session.represent(state, encoded, mixed=False),
            state.labels(state.memory),
            len(state.catalogue),
        )
        weight = session.settings.method.embedding_weight
        state.prototypes = prediction_prototypes(means, state.relation_embeddings, weight)
