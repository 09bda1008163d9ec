"""The lower bound: learn each task and keep nothing of the ones before."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn import functional

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Method, Session
from cfcre.methods.phase_one import learn_new_relations
from cfcre.methods.state import LearnerState

__all__ = ["Finetune"]


class Finetune(Method):
    """Sequential fine-tuning: phase one without augmentation, no memory, no phase two.

    Prediction uses the relation embeddings as prototypes, since there are no stored examples.
    """

    name = "finetune"
    uses_memory = False

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one: L_new on D_k."""
        learn_new_relations(state, train, augmented, session)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Nothing to consolidate: the relation embeddings are the prototypes."""
        state.prototypes = functional.normalize(state.relation_embeddings, dim=-1)
