"""The MLflow model of an extractor's version, as models-from-code: this file is copied into it.

A version is this script and a folder ``artifacts/state`` with ``extractor.json``, which names a
version of the span model and one of the relation model with the digests of their states, and with
``calibration.json``. It holds no weights: both models are fetched from the registry when it loads,
and refused if they are not the ones that were meant.

It takes texts and answers, text by text, with typed entities and relations::

    {"inputs": [{"text": "Ada Thornwick was born in Velmora."}]}
"""

# No "from __future__ import annotations": MLflow reads the type hints of predict as objects.
import hashlib
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from pydantic import BaseModel

__all__ = [
    "CfcreExtractor",
    "ExtractedEntity",
    "ExtractedRelation",
    "Extraction",
    "TextQuery",
]

_DIGEST_FILES = {"spans": "model.json", "relations": "state.json"}


class TextQuery(BaseModel):
    """A text to read."""

    text: str


class ExtractedEntity(BaseModel):
    """Characters ``[start, end)`` of the text, and what they are."""

    start: int
    end: int
    type: str
    score: float
    text: str


class ExtractedRelation(BaseModel):
    """A relation between two entities, by their places in the list; ``source`` found it."""

    head: int
    tail: int
    type: str
    score: float
    source: str


class Extraction(BaseModel):
    """What was found in one text; see :class:`cfcre.extraction.Extraction`."""

    entities: list[ExtractedEntity]
    relations: list[ExtractedRelation]
    windows: int
    unread: list[list[int]]


def _fetch(reference: dict[str, Any], digest_file: str, target: Path) -> Path:
    """A referred version's state, once it is known to be the one that is meant."""
    name, version = reference["model"], reference["version"]
    folder = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{name}/{version}", dst_path=str(target)
    )
    state = Path(folder) / "artifacts" / "state"
    found = hashlib.sha256((state / digest_file).read_bytes()).hexdigest()
    if reference["state"] is not None and found != reference["state"]:
        raise MlflowException.invalid_parameter_value(
            f"version {version} of {name} is not the one that the extractor was made with; restore "
            "its artifacts, or take another version of the extractor"
        )
    return state


class CfcreExtractor(PythonModel):
    """Finds entities and the relations between them by the two models together."""

    extractor: Any = None

    def load_context(self, context: Any) -> None:
        """Fetch and load both models from the registry that this version came from."""
        # By its name: it lies in a layer above this one, which keeps the script and never runs it.
        extraction = importlib.import_module("cfcre.extraction.extractor")
        folder = Path(context.artifacts["state"])
        description = json.loads((folder / "extractor.json").read_text(encoding="utf-8"))
        calibration = folder / "calibration.json"
        with tempfile.TemporaryDirectory(prefix="cfcre-extractor-") as temporary:
            found = {}
            for part, digest_file in _DIGEST_FILES.items():
                if description[part] is not None:
                    target = Path(temporary) / part
                    target.mkdir()
                    found[part] = _fetch(description[part], digest_file, target)
            self.extractor = extraction.Extractor.load(
                spans=found["spans"],
                relations=found.get("relations"),
                calibration=calibration if calibration.is_file() else None,
            )

    # MLflow itself offers this signature, without context, to hinted models.
    def predict(  # type: ignore[override]
        self, model_input: list[TextQuery], params: dict[str, Any] | None = None
    ) -> list[Extraction]:
        """Read texts of any length.

        Args:
            model_input: Texts. One without words finds nothing.
            params: None are taken.

        Raises:
            MlflowException: A text can not be read; the server answers 400.
        """
        from cfcre.errors import DataError

        if self.extractor is None:
            raise MlflowException.invalid_parameter_value("load_context was not called")
        try:
            found = self.extractor([query.text for query in model_input])
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return [
            Extraction.model_validate(
                {k: v for k, v in extraction.to_json().items() if k in Extraction.model_fields}
            )
            for extraction in found
        ]


mlflow.models.set_model(CfcreExtractor())
