"""Prediction from a learner state by its rule, for most methods the nearest prototype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cfcre.config import ComputeSettings, EncoderSettings, MethodSettings, Settings
from cfcre.data.schema import RelationExample
from cfcre.data.tokenisation import EncodedExamples, fits
from cfcre.errors import DataError, StateError
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.modeling.anchored import anchor_layer
from cfcre.modeling.compute import Compute
from cfcre.modeling.prediction import rank_relations
from cfcre.modeling.rules import make_rule

__all__ = ["Prediction", "Predictor", "RowPredictor"]

Array = npt.NDArray[np.float32]

#: Rows below which starting other processes costs more than it saves.
_MANY = 512


@dataclass(frozen=True)
class Prediction:
    """One relation proposed for an example.

    Attributes:
        relation: Name.
        score: The rule's score. For the nearest-prototype rule the cosine with the relation's
            prototype, in [-1, 1].
        probability: The rule's, over all relations; for the nearest-prototype rule the softmax of
            the scaled cosines. Not calibrated.
    """

    relation: str
    score: float
    probability: float


class RowPredictor(Protocol):
    """Whatever predicts rows: a :class:`Predictor`, or one that joins the rows of many callers."""

    def predict(
        self, examples: Sequence[RelationExample], top_k: int = 1
    ) -> list[list[Prediction]]:
        """The ``top_k`` nearest relations of each example, best first."""
        ...


class Predictor:
    """A consolidated learner state, ready to predict.

    Args:
        state: Has prototypes, and what its rule predicts with.
        compute: Device and threads; precision is always float32 here.
        embed: Gives the unit representations of many rows in place of this process.
    """

    def __init__(
        self,
        state: LearnerState,
        compute: ComputeSettings | None = None,
        *,
        embed: Callable[[Sequence[RelationExample]], Array] | None = None,
    ) -> None:
        if state.prototypes is None:
            raise StateError("this learner state has no prototypes yet: it was not consolidated")
        settings = compute or ComputeSettings()
        self._state = state
        self._embed = embed
        self._compute = Compute.from_settings(settings)
        self._budget = settings.inference_token_budget
        self._max_length = EncoderSettings.model_validate(state.settings["encoder"]).max_length
        state.encoder.to(self._compute.device).eval()
        self.prototypes: Array = state.prototypes.numpy()
        scale = MethodSettings.model_validate(state.settings["method"]).similarity_scale
        self._anchor = anchor_layer(state.extras)
        self.rule = make_rule(state.rule, self.prototypes, state.extras, scale)

    @classmethod
    def load(
        cls,
        folder: Path,
        settings: Settings | None = None,
        *,
        embed: Callable[[Sequence[RelationExample]], Array] | None = None,
    ) -> Predictor:
        """Read a state directory.

        Raises:
            StateError: It is damaged, or was not consolidated.
        """
        compute = settings.compute if settings else None
        return cls(LearnerState.load(folder), compute, embed=embed)

    @property
    def relations(self) -> list[str]:
        """Relations in order of arrival; the rows of :attr:`prototypes`."""
        return list(self._state.catalogue)

    @property
    def memory(self) -> list[RelationExample]:
        """Stored examples."""
        return list(self._state.memory)

    def fits(self, examples: Sequence[RelationExample]) -> list[bool]:
        """Whether head and tail of each example, with all between them, fit the encoder."""
        return fits(self._state.tokenizer, examples, self._max_length)

    def embed(self, examples: Sequence[RelationExample]) -> Array:
        """What the rule reads: unit representations, float32 ``[N, d]``.

        A rule that looks at a lower layer too has its features behind them, ``[N, d + f]``.

        Raises:
            DataError: Head and tail of an example are too far apart for the encoder.
        """
        if self._embed is not None and len(examples) >= _MANY:
            for row, e in enumerate(examples):
                _check(row, e)
            return self._embed(examples)
        return self.represent(self.encode(examples))

    def encode(self, examples: Sequence[RelationExample]) -> EncodedExamples:
        """Word pieces of the examples; may run in several threads at once.

        Raises:
            DataError: A row cannot be read; the message names it by its position.
        """
        for row, e in enumerate(examples):
            _check(row, e)
        return self._state.tokenizer.encode(examples, self._max_length)

    def represent(self, encoded: EncodedExamples) -> Array:
        """As :meth:`embed`, of word pieces; one thread at a time."""
        encoder, size = self._state.encoder, self.prototypes.shape[1]
        found = extract(encoder, encoded, self._compute, self._budget, anchor=self._anchor)
        h = found[:, :size]
        found[:, :size] = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        return found

    def similarities(self, examples: Sequence[RelationExample]) -> Array:
        """Eq. 12: cosine of each example with each prototype, float32 ``[N, R]``.

        Whatever the rule of prediction: for maps, and for relations that look alike.
        """
        size = self.prototypes.shape[1]
        return np.asarray(self.embed(examples)[:, :size] @ self.prototypes.T)

    def predict_best(self, examples: Sequence[RelationExample]) -> list[str]:
        """The relation of the highest score of each example; eq. 13 for the nearest prototype."""
        best = rank_relations(self.rule.scores(self.embed(examples)), 1)[:, 0]
        return [self._state.catalogue[i] for i in best]

    def predict(
        self, examples: Sequence[RelationExample], top_k: int = 1
    ) -> list[list[Prediction]]:
        """The ``top_k`` nearest relations of each example, best first.

        Raises:
            DataError: A span is outside its text, or head and tail are too far apart.
        """
        return self.rank(self.embed(examples), top_k)

    def rank(self, representations: Array, top_k: int = 1) -> list[list[Prediction]]:
        """The ``top_k`` nearest relations of each unit representation ``[N, d]``, best first."""
        if not len(representations):
            return []
        scores = self.rule.scores(representations)
        ranked = rank_relations(scores, top_k)
        probability = self.rule.probabilities(scores)
        return [
            [
                Prediction(self._state.catalogue[r], float(scores[i, r]), float(probability[i, r]))
                for r in row
            ]
            for i, row in enumerate(ranked)
        ]


def _check(row: int, e: RelationExample) -> None:
    for name, span in (("head", e.head), ("tail", e.tail)):
        if not 0 <= span.start < span.end <= len(e.text):
            raise DataError(
                f"row {row}: {name} span [{span.start}, {span.end}) is not inside the text of "
                f"{len(e.text)} characters; offsets count characters, the end is exclusive"
            )
    if e.head.start < e.tail.end and e.tail.start < e.head.end:
        raise DataError(
            f"row {row}: head and tail overlap; mark two different stretches of the text"
        )
    try:
        e.text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"row {row}: the text holds half a surrogate pair at character {error.start}; "
            "give whole Unicode characters"
        ) from error
