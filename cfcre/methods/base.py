"""What a continual-learning method is: three steps on a learner state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import EncodedExamples
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Progress, TrainingLog, no_progress
from cfcre.modeling.compute import Compute
from cfcre.modeling.parallel import current_group
from cfcre.modeling.rules import NEAREST_PROTOTYPE

__all__ = ["Method", "Session"]


@dataclass
class Session:
    """One stage's work on a state: settings, arithmetic, randomness and log.

    Attributes:
        settings: All settings.
        task: 1-based index of the task; part of every seed.
        stage: Number of the stage; part of every seed, so that a stage run alone after a kill draws
            what it would have drawn.
        progress: Told after each step.
    """

    settings: Settings
    task: int
    stage: int
    progress: Progress = no_progress
    log: TrainingLog = field(default_factory=TrainingLog)

    def __post_init__(self) -> None:
        self.group = current_group()
        self.compute = Compute.from_settings(self.settings.compute)
        self.generator = np.random.default_rng([self.settings.seed, self.task, self.stage])

    @property
    def seed(self) -> tuple[int, int, int]:
        """Seed of this stage's torch draws."""
        return self.settings.seed, self.task, self.stage

    def encode(self, state: LearnerState, examples: Sequence[RelationExample]) -> EncodedExamples:
        """Tokenise with the state's tokenizer."""
        return state.tokenizer.encode(examples, self.settings.encoder.max_length)

    def represent(
        self, state: LearnerState, encoded: EncodedExamples, *, mixed: bool = True
    ) -> torch.Tensor:
        """Representations h, float32 ``[N, d]`` on the CPU; see :func:`extract` for ``mixed``."""
        budget = self.settings.compute.inference_token_budget
        return torch.from_numpy(extract(state.encoder, encoded, self.compute, budget, mixed=mixed))


class Method(ABC):
    """A composition of encoder, losses, prototypes, memory and augmentation.

    The steps are called in this order for each task; each changes the state in place and draws only
    from its session's seed. Between two steps the state may be saved and loaded, and the steps may
    run in different processes: what a step needs of an earlier one is in the state, where
    ``state.extras`` takes any tensor. A method that compares with the model before the task
    computes what it compares with at the start of :meth:`train_task`, where the state as it arrives
    is that model.
    """

    #: Name in ``method.name``.
    name: str
    #: Whether examples are kept for later tasks.
    uses_memory: bool = True
    #: Whether every example is kept, whatever ``memory.size`` says: for upper bounds.
    keeps_everything: bool = False
    #: Rule of prediction of the states it leaves, see :mod:`cfcre.modeling.rules`.
    rule: str = NEAREST_PROTOTYPE

    def augment(self, train: Sequence[RelationExample], session: Session) -> list[RelationExample]:
        """Auxiliary examples for phase one; none unless a method says so."""
        return []

    @abstractmethod
    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one: learn the new relations. The catalogue already lists them."""

    @abstractmethod
    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Phase two: join old and new, and set ``state.prototypes``, and the rule's tensors."""
