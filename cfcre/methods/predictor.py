"""Prediction from a learner state: the nearest prototype (eq. 12, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cfcre.config import ComputeSettings, EncoderSettings, MethodSettings, Settings
from cfcre.data.schema import RelationExample
from cfcre.errors import DataError, StateError
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.modeling.compute import Compute
from cfcre.modeling.prediction import probabilities, rank_relations

__all__ = ["Prediction", "Predictor"]

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """One relation proposed for an example.

    Attributes:
        relation: Name.
        score: Cosine with the relation's prototype, in [-1, 1].
        probability: Softmax of the scaled cosines over all relations; not calibrated.
    """

    relation: str
    score: float
    probability: float


class Predictor:
    """A consolidated learner state, ready to predict.

    Args:
        state: Has prototypes.
        compute: Device and threads; precision is always float32 here.
    """

    def __init__(self, state: LearnerState, compute: ComputeSettings | None = None) -> None:
        if state.prototypes is None:
            raise StateError("this learner state has no prototypes yet: it was not consolidated")
        settings = compute or ComputeSettings()
        self._state = state
        self._compute = Compute.from_settings(settings)
        self._budget = settings.inference_token_budget
        self._max_length = EncoderSettings.model_validate(state.settings["encoder"]).max_length
        self._scale = MethodSettings.model_validate(state.settings["method"]).similarity_scale
        state.encoder.to(self._compute.device).eval()
        self.prototypes: Array = state.prototypes.numpy()

    @classmethod
    def load(cls, folder: Path, settings: Settings | None = None) -> Predictor:
        """Read a state directory.

        Raises:
            StateError: It is damaged, or was not consolidated.
        """
        return cls(LearnerState.load(folder), settings.compute if settings else None)

    @property
    def relations(self) -> list[str]:
        """Relations in order of arrival; the rows of :attr:`prototypes`."""
        return list(self._state.catalogue)

    @property
    def memory(self) -> list[RelationExample]:
        """Stored examples."""
        return list(self._state.memory)

    def embed(self, examples: Sequence[RelationExample]) -> Array:
        """Unit representations, float32 ``[N, d]``.

        Raises:
            DataError: Head and tail of an example are too far apart for the encoder.
        """
        if not examples:
            return np.zeros((0, self.prototypes.shape[1]), dtype=np.float32)
        for e in examples:
            _check_spans(e)
        encoded = self._state.tokenizer.encode(examples, self._max_length)
        h = extract(self._state.encoder, encoded, self._compute, self._budget)
        return np.asarray(h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12))

    def similarities(self, examples: Sequence[RelationExample]) -> Array:
        """Eq. 12: cosine of each example with each prototype, float32 ``[N, R]``."""
        return np.asarray(self.embed(examples) @ self.prototypes.T)

    def predict_best(self, examples: Sequence[RelationExample]) -> list[str]:
        """Eq. 13: the nearest relation of each example."""
        best = rank_relations(self.similarities(examples), 1)[:, 0]
        return [self._state.catalogue[i] for i in best]

    def predict(
        self, examples: Sequence[RelationExample], top_k: int = 1
    ) -> list[list[Prediction]]:
        """The ``top_k`` nearest relations of each example, best first.

        Raises:
            DataError: A span is outside its text, or head and tail are too far apart.
        """
        cosine = self.similarities(examples)
        ranked = rank_relations(cosine, top_k)
        probability = probabilities(cosine, self._scale) if len(cosine) else cosine
        return [
            [
                Prediction(self._state.catalogue[r], float(cosine[i, r]), float(probability[i, r]))
                for r in row
            ]
            for i, row in enumerate(ranked)
        ]


def _check_spans(e: RelationExample) -> None:
    for name, span in (("head", e.head), ("tail", e.tail)):
        if not 0 <= span.start < span.end <= len(e.text):
            raise DataError(
                f"{name} span [{span.start}, {span.end}) is not inside the text of "
                f"{len(e.text)} characters; offsets count characters, the end is exclusive"
            )
    if e.head.start < e.tail.end and e.tail.start < e.head.end:
        raise DataError("head and tail overlap; mark two different stretches of the text")
