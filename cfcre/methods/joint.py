"""The upper bound: all examples of all tasks are kept, and a model is trained anew on them."""

from __future__ import annotations

from collections.abc import Sequence

from cfcre.data.schema import RelationExample
from cfcre.methods.anchors import add_anchors, anchored_layer
from cfcre.methods.base import Session
from cfcre.methods.cf_cre import CFCRE
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState
from cfcre.modeling.anchored import ANCHORED
from cfcre.modeling.prototypes import class_means, prediction_prototypes

__all__ = ["Joint"]


class Joint(CFCRE):
    """Phase one (L_new, eq. 2, with ACA) on the rows of all tasks, from the pre-trained weights.

    A model that goes on from the task before sees early rows again and again, and ends as one that
    has learned them by heart; a new one sees all equally often. It predicts by the rule of
    ``cf-cre-plus``, whose statistics it takes from all rows: what is left between the two is what a
    stream costs. The memory is all rows, whatever ``memory.size`` says.
    """

    name = "joint"
    keeps_everything = True
    rule = ANCHORED

    def augment(self, train: Sequence[RelationExample], session: Session) -> list[RelationExample]:
        """None yet: auxiliary classes are made of the rows of all tasks, which are not here."""
        return []

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """L_new on D_1 ∪ … ∪ D_k and their auxiliary classes."""
        seen = {e.content_key for e in state.memory}
        everything = [*state.memory, *(e for e in train if e.content_key not in seen)]
        _begin_anew(state, session)
        learn_new_relations(state, everything, super().augment(everything, session), session)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Prototypes and statistics of all rows; nothing is trained."""
        state.encoder.to(session.compute.device)
        encoded = session.encode(state, state.memory)
        means = class_means(
            session.represent(state, encoded, mixed=False),
            state.labels(state.memory),
            len(state.catalogue),
        )
        weight = session.settings.method.embedding_weight
        state.prototypes = prediction_prototypes(means, state.relation_embeddings, weight)
        state.extras = {}
        add_anchors(state, state.memory, session, anchored_layer(state, session))


def _begin_anew(state: LearnerState, session: Session) -> None:
    """Give the encoder its pre-trained weights back; no relation is known."""
    fresh = LearnerState.fresh(session.settings)
    state.encoder.load_state_dict(fresh.encoder.state_dict())
    state.encoder.freeze_lower(0)
    state.relation_embeddings = fresh.relation_embeddings
