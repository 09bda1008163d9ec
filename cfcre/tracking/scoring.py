"""MLflow's scoring protocol for one version, by MLflow's own functions.

``mlflow.pyfunc.scoring_server.invocations`` parses the request, enforces the signature and writes
the answer, exactly as in ``mlflow models serve``. What differs is around it: limits before the
model is asked, errors that do not repeat the request, and no code taken from the version (see
:mod:`cfcre.tracking.downloads`).
"""

from __future__ import annotations

import json
import logging
import math
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cfcre.errors import CfcreError, StateError
from cfcre.tracking.packaging import INPUT_EXAMPLE

if TYPE_CHECKING:
    from cfcre.methods.predictor import RowPredictor

__all__ = [
    "JSON",
    "Answer",
    "ScoringFailure",
    "ScoringLimits",
    "ScoringModel",
    "error_body",
]

_log = logging.getLogger(__name__)

JSON = "application/json"
#: Characters of an error message that are sent; MLflow's own can repeat a whole request.
_MAX_MESSAGE = 1000


class Answer(NamedTuple):
    """One HTTP answer.

    Attributes:
        status: HTTP status.
        body: JSON text.
        rows: Rows answered; 0 for an error.
        retry_after: Seconds for ``Retry-After``; None leaves the header out.
        windowed: Rows too long for the encoder, of which it read the part around both entities.
    """

    status: int
    body: str
    rows: int = 0
    retry_after: int | None = None
    windowed: int = 0


class ScoringFailure(CfcreError):
    """The request cannot be answered, for a reason other than its rows.

    Args:
        status: HTTP status.
        code: MLflow's name of the error.
        message: What happened and what to do.
        retry_after: Seconds for ``Retry-After``.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def answer(self) -> Answer:
        """As an HTTP answer."""
        body = error_body(self.code, str(self))
        return Answer(self.status, body, retry_after=self.retry_after)


@dataclass(frozen=True)
class ScoringLimits:
    """What one request may hold.

    Attributes:
        rows: Rows.
        text_chars: Characters of one text.
    """

    rows: int
    text_chars: int


def error_body(code: str, message: str) -> str:
    """An error in the shape of MLflow's: ``{"error_code": …, "message": …}``."""
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]} … ({len(message)} characters, cut)"
    return json.dumps({"error_code": code, "message": message})


def _error_like(error: Any, message: str) -> str:
    """An error of MLflow's with its own fields, another message, and no stack trace."""
    fields = json.loads(error.serialize_as_json())
    fields.pop("stack_trace", None)
    return json.dumps({**fields, **json.loads(error_body(error.error_code, message))})


class ScoringModel:
    """One version behind MLflow's protocol.

    Args:
        folder: Holds the version's ``MLmodel``.
        predictor: Answers rows; may be called by several threads at once if it allows that.
        limits: Of one request.

    Raises:
        StateError: The version is no cfcre model.
    """

    def __init__(self, folder: Path, predictor: RowPredictor, limits: ScoringLimits) -> None:
        # MLflow's own server says so to the code that reads requests.
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        import yaml
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model
        from mlflow.pyfunc import PyFuncModel

        from cfcre.tracking.pyfunc_model import CfcreModel

        try:
            # MLflow annotates half of these methods.
            metadata: Any = Model.load(str(folder / "MLmodel"))
        except (MlflowException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
            raise StateError(f"the version's MLmodel cannot be read: {error}") from error
        # This package's class, never the script in the version: a registry holds data here.
        model = CfcreModel()
        model.predictor = predictor
        if "python_function" not in metadata.flavors or not metadata._is_signature_from_type_hint():
            raise StateError("the version is no cfcre model: its MLmodel has no typed signature")
        self._pyfunc = PyFuncModel(model_meta=metadata, model_impl=model)
        self._schema = metadata.get_input_schema()
        self._limits = limits

    def invocations(self, body: bytes, content_type: str = JSON) -> Answer:
        """Answer one request; every failure is an answer too.

        Args:
            body: JSON with ``inputs`` and, where wanted, ``params``.
            content_type: The request's; JSON in UTF-8.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc import scoring_server

        score: Any = scoring_server.invocations

        if content_type.partition(";")[0].strip().lower() != JSON:
            # MLflow reads CSV and Parquet too. A CSV cannot hold this model's spans, and a few
            # kilobytes of Parquet can unpack to gigabytes.
            return Answer(
                415, error_body("BAD_REQUEST", f"send {JSON}; got {content_type[:100]!r}")
            )
        call = _Call(self._pyfunc, self._limits)
        try:
            found = score(body, content_type, call, self._schema)
        except MlflowException as raised:
            error: Any = raised
            if call.failure is not None:
                return call.failure.answer()
            # MLflow adds the rows to the message of an error that the model raised, and the body
            # to one of JSON: the client has both.
            message = call.message or error.message.replace(f"\nInput: \n{body!r}\n", "")
            if call.unexpected:
                message = "the model failed; the server's log says where"
                return Answer(500, error_body("INTERNAL_ERROR", message))
            return Answer(error.get_http_status_code(), _error_like(error, message))
        except (ValueError, RecursionError) as error:
            # Numbers of thousands of digits, brackets nested thousands deep.
            return Answer(400, error_body("BAD_REQUEST", f"the JSON cannot be read: {error}"))
        if found.status != 200:
            return Answer(found.status, error_body("BAD_REQUEST", found.response))
        return Answer(200, found.response, call.rows)

    def warm_up(self, relations: Sequence[str]) -> None:
        """Answer the version's own example once, and look at the answer.

        Args:
            relations: What the model can answer.

        Raises:
            StateError: The model cannot answer, or answers nonsense.
        """
        answer = self.invocations(json.dumps({"inputs": INPUT_EXAMPLE}).encode())
        if answer.status != 200:
            raise StateError(f"the model cannot answer its own example: {answer.body}")
        (row,) = json.loads(answer.body)["predictions"]
        numbers = (row["score"], row["probability"])
        if row["relation"] not in relations or not all(map(math.isfinite, numbers)):
            raise StateError("the model's answer to its own example is not a relation with a score")


def _first_bad_row(data: Any) -> str | None:
    """What is wrong with the shape of the first bad row; None where the shapes are right.

    MLflow's own message repeats rows and links; this one names fields only.
    """
    from pydantic import ValidationError

    from cfcre.tracking.pyfunc_model import RelationQuery

    if not isinstance(data, list):
        return None
    for position, row in enumerate(data):
        try:
            # Strict, as MLflow is: "3" is no number.
            RelationQuery.model_validate(row, strict=True)
        except ValidationError as error:
            found = "; ".join(
                ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"].lower())))
                for one in error.errors(include_url=False, include_input=False)[:5]
            )
            return f"row {position}: {found}; give text, head and tail, with start and end each"
    return None


class _Call:
    """The model of one request, as MLflow's function sees it; remembers what went wrong."""

    def __init__(self, pyfunc: Any, limits: ScoringLimits) -> None:
        self._pyfunc = pyfunc
        self._limits = limits
        self.metadata = pyfunc.metadata
        self.rows = 0
        self.message: str | None = None
        self.failure: ScoringFailure | None = None
        self.unexpected = False

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Check the limits, then ask the model."""
        from mlflow.exceptions import MlflowException

        try:
            self._check_limits(data)
            answers = self._pyfunc.predict(data, params=params)
        except MlflowException as error:
            # Kept now: MLflow changes it in place on the way out.
            self.message = _first_bad_row(data) or error.message
            raise
        except ScoringFailure as failure:
            self.failure = failure
            raise
        except Exception as error:
            self.unexpected = True
            # No message: it may quote the request.
            frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
            _log.error("a request failed: %s at %s", type(error).__name__, frames)
            raise
        self.rows = len(answers)
        return answers

    def _check_limits(self, data: Any) -> None:
        if not isinstance(data, list):
            return  # MLflow refuses it and says why
        if len(data) > self._limits.rows:
            raise ScoringFailure(
                413,
                "INVALID_PARAMETER_VALUE",
                f"the request has {len(data)} rows, {self._limits.rows} are accepted "
                "(serving.max_rows); send several requests",
            )
        for position, row in enumerate(data):
            text = row.get("text") if isinstance(row, dict) else None
            if isinstance(text, str) and len(text) > self._limits.text_chars:
                raise ScoringFailure(
                    413,
                    "INVALID_PARAMETER_VALUE",
                    f"row {position}: the text has {len(text)} characters, "
                    f"{self._limits.text_chars} are accepted (serving.max_text_chars); send the "
                    "sentence that holds both entities",
                )
