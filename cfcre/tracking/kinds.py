"""The kinds of model that are registered: relation models, span models, extractors.

All are made the same way: a script of this package, a folder ``artifacts/state`` with one JSON file
that holds the digests of the others, and MLflow's own YAML; nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfcre.config.names import extractor_model, span_model

__all__ = ["EXTRACTOR", "RELATIONS", "SPANS", "ModelKind"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ModelKind:
    """What differs between the kinds.

    Attributes:
        name: For people and for ``--model``.
        registered_name: Registered name, from ``tracking.registered_model``.
        description: File of the state that holds the digests of all others.
        noun: The state in an error message.
        script: The MLflow model as code.
        input_example: One that the script takes.
        params: Parameters of a prediction: name to default, whole numbers.
        about: Description of the registered model.
    """

    name: str
    registered_name: Callable[[str], str]
    description: str
    noun: str
    script: Path
    input_example: Any
    params: tuple[tuple[str, int], ...]
    about: str


_TEXTS = [{"text": "Ada Lovelace was born in London."}]

RELATIONS = ModelKind(
    name="relations",
    registered_name=lambda registered_model: registered_model,
    description="state.json",
    noun="learner state",
    script=_FOLDER / "pyfunc_model.py",
    input_example=[
        {
            "text": "Ada Lovelace was born in London.",
            "head": {"start": 0, "end": 12},
            "tail": {"start": 25, "end": 31},
        }
    ],
    params=(("top_k", 1),),
    about="Relation extraction learned batch by batch; one version a task.",
)
"""The relation of two given entities: CF-CRE's learner states."""

SPANS = ModelKind(
    name="spans",
    registered_name=span_model,
    description="model.json",
    noun="span model",
    script=_FOLDER / "pyfunc_spans.py",
    input_example=_TEXTS,
    params=(),
    about="Joint extraction of entities and relations; one version a batch of documents.",
)
"""Entities and relations of a text: span models."""

EXTRACTOR = ModelKind(
    name="extractor",
    registered_name=extractor_model,
    description="extractor.json",
    noun="extractor",
    script=_FOLDER / "pyfunc_extractor.py",
    input_example=_TEXTS,
    params=(),
    about="From text to triples: a version of the span model and one of the relation model.",
)
"""The two together; a version holds references to theirs and no weights."""
