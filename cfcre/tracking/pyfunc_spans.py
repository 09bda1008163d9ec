"""The MLflow model of a span model's version, as models-from-code: this file is copied into it.

A version is this script, a folder ``artifacts/state`` (safetensors and JSON) and MLflow's own YAML.
It takes texts and answers, text by text, with typed entities and relations::

    {"inputs": [{"text": "Ada Thornwick was born in Velmora."}]}

Offsets count characters, ends exclusive; relations name entities by their places in the list.
"""

# No "from __future__ import annotations": MLflow reads the type hints of predict as objects.
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from pydantic import BaseModel

if TYPE_CHECKING:
    from cfcre.spans.model import SpanModel

__all__ = ["CfcreSpans", "SpanEntity", "SpanRelation", "TextAnswer", "TextQuery"]


class TextQuery(BaseModel):
    """A text to read."""

    text: str


class SpanEntity(BaseModel):
    """Characters ``[start, end)`` of the text, and what they are."""

    start: int
    end: int
    text: str
    type: str
    score: float


class SpanRelation(BaseModel):
    """A relation between two entities, by their places in the list."""

    head: int
    tail: int
    type: str
    score: float


class TextAnswer(BaseModel):
    """What was found in one text."""

    entities: list[SpanEntity]
    relations: list[SpanRelation]


class CfcreSpans(PythonModel):
    """Finds entities and the relations between them."""

    model: "SpanModel | None" = None

    def load_context(self, context: Any) -> None:
        """Load the span model of the version."""
        from cfcre.spans.model import SpanModel

        self.model = SpanModel.load(Path(context.artifacts["state"]))

    # MLflow itself offers this signature, without context, to hinted models.
    def predict(  # type: ignore[override]
        self, model_input: list[TextQuery], params: dict[str, Any] | None = None
    ) -> list[TextAnswer]:
        """Read texts.

        Args:
            model_input: Texts. One without words finds nothing.
            params: None are taken.

        Raises:
            MlflowException: A text is longer than the model reads; the server answers 400.
        """
        from cfcre.errors import DataError

        if self.model is None:
            raise MlflowException.invalid_parameter_value("load_context was not called")
        try:
            found = self.model.predict([query.text for query in model_input])
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return [
            TextAnswer(
                entities=[
                    SpanEntity(
                        start=entity.first_character,
                        end=entity.last_character,
                        text=entity.text,
                        type=entity.type,
                        score=float(entity.score),
                    )
                    for entity in one.entities
                ],
                relations=[
                    SpanRelation(
                        head=relation.head,
                        tail=relation.tail,
                        type=relation.type,
                        score=float(relation.score),
                    )
                    for relation in one.relations
                ],
            )
            for one in found
        ]


mlflow.models.set_model(CfcreSpans())
