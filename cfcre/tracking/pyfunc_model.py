"""The MLflow model of a registered version, as models-from-code: this file is copied into it.

A version is this script, a folder ``artifacts/state`` (the learner state: safetensors and JSON)
and MLflow's own YAML. Nothing is pickled, so it loads with
``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false``. The environment that serves it needs this package.

Served with ``mlflow models serve -m models:/cfcre@champion``, it takes::

    {"inputs": [{"text": "…", "head": {"start": 0, "end": 5}, "tail": {"start": 16, "end": 22}}],
     "params": {"top_k": 3}}

and answers, row by row, the best relation, its score and probability, and the ``top_k`` best.
"""

# No "from __future__ import annotations": MLflow reads the type hints of predict as objects.
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from pydantic import BaseModel

if TYPE_CHECKING:
    from cfcre.methods.predictor import RowPredictor

__all__ = ["CfcreModel", "RelationAnswer", "RelationQuery", "RelationScore", "SpanQuery"]


class SpanQuery(BaseModel):
    """Characters ``[start, end)`` of the text."""

    start: int
    end: int


class RelationQuery(BaseModel):
    """One row to predict: a text and the two entities in it."""

    text: str
    head: SpanQuery
    tail: SpanQuery


class RelationScore(BaseModel):
    """One candidate relation: its score, for most methods the cosine, and its probability."""

    relation: str
    score: float
    probability: float


class RelationAnswer(BaseModel):
    """The best relation of one row, and the ``top_k`` best in order."""

    relation: str
    score: float
    probability: float
    top: list[RelationScore]


def _check(position: int, query: RelationQuery) -> None:
    length = len(query.text)
    for name, span in (("head", query.head), ("tail", query.tail)):
        if not 0 <= span.start < span.end <= length:
            raise MlflowException.invalid_parameter_value(
                f"row {position}: {name} is [{span.start}, {span.end}) of a text of {length} "
                "characters; give 0 <= start < end <= length"
            )
    if query.head.start < query.tail.end and query.tail.start < query.head.end:
        raise MlflowException.invalid_parameter_value(
            f"row {position}: head and tail overlap; give two separate spans"
        )


class CfcreModel(PythonModel):
    """Predicts the relation from head to tail by the nearest prototype (eq. 12, 13)."""

    predictor: "RowPredictor | None" = None
    state: Path | None = None

    def load_context(self, context: Any) -> None:
        """Load encoder and prototypes from the version's learner state."""
        from cfcre.methods.predictor import Predictor

        self.state = Path(context.artifacts["state"])
        self.predictor = Predictor.load(self.state)

    # MLflow itself offers this signature, without context, to hinted models.
    def predict(  # type: ignore[override]
        self, model_input: list[RelationQuery], params: dict[str, Any] | None = None
    ) -> list[RelationAnswer]:
        """Predict rows.

        Args:
            model_input: Rows with character spans, ends exclusive.
            params: ``top_k``, relations to list for a row, default 1.

        Raises:
            MlflowException: A span or ``top_k`` is out of range; the server answers 400.
        """
        from cfcre.data.schema import RelationExample, Span
        from cfcre.errors import DataError

        if self.predictor is None:
            raise MlflowException.invalid_parameter_value("load_context was not called")
        given = (params or {}).get("top_k", 1)
        if given is None or int(given) < 1:
            raise MlflowException.invalid_parameter_value(f"top_k is {given}; give 1 or more")
        top_k = int(given)
        for position, query in enumerate(model_input):
            _check(position, query)
        examples = [
            RelationExample(q.text, Span(q.head.start, q.head.end), Span(q.tail.start, q.tail.end))
            for q in model_input
        ]
        try:
            predictions = self.predictor.predict(examples, top_k=top_k)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        answers = []
        for best in predictions:
            top = [
                RelationScore(
                    relation=p.relation, score=float(p.score), probability=float(p.probability)
                )
                for p in best
            ]
            answers.append(RelationAnswer(**top[0].model_dump(), top=top))
        return answers


mlflow.models.set_model(CfcreModel())
