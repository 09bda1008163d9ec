"""What MLflow, requests and SQLAlchemy raise, turned into this package's errors.

A caller must be able to tell "the server is away, try again" from "the setting is wrong", and no
message, trace included, may show the password that a tracking URI can carry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from cfcre.errors import CfcreError, ConfigurationError, NotFoundError, TrackingUnavailable

__all__ = ["redact", "tracking_errors"]

_USER_INFO = re.compile(r"(?<=://)([^/@\s:]*):([^@/\s]*)@")
_AWAY = ("API request to", "Max retries", "Connection refused", "timed out", "Read timed out")
_CODES_CONFIGURATION = {
    "UNAUTHENTICATED": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "PERMISSION_DENIED": "ask the server's administrator for the right to write",
    "CUSTOMER_UNAUTHORIZED": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
}
_CODES_AWAY = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "IO_ERROR",
}


def redact(text: str, uri: str = "") -> str:
    """Replace the password of every URL in a text, and the given URI's own password, by ``***``."""
    for secret in _secrets(uri):
        text = text.replace(secret, "***")
    return _USER_INFO.sub(r"\1:***@", text)


def _secrets(uri: str) -> list[str]:
    try:
        password = urlsplit(uri).password
    except ValueError:
        return []
    # As written and as decoded: libraries print either. Longest first, one may hold the other.
    # A password of one or two characters would blot out innocent text; the URL form covers it.
    forms = {password, unquote(password)} if password else set()
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _shows_secret(error: BaseException, uri: str) -> bool:
    return any(redact(str(link), uri) != str(link) for link in _chain(error))


@contextmanager
def tracking_errors(action: str, uri: str) -> Iterator[None]:
    """Run MLflow calls; raise only errors of :mod:`cfcre.errors`.

    Args:
        action: What was being done, for the message: "register a model version".
        uri: Tracking URI; its password is kept out of messages and traces.

    Raises:
        TrackingUnavailable: No answer, a server error, or a locked or unreachable database.
        ConfigurationError: Credentials are missing, or the store's schema is of another version.
        NotFoundError: The run, version or alias does not exist.
        CfcreError: MLflow refused the call for another reason.
    """
    try:
        yield
    except CfcreError:
        raise
    except Exception as error:
        translated = _translate(error, action, uri)
        if translated is None:
            raise
        # The chained trace would print the password, so a chain that holds it is cut.
        raise translated from (None if _shows_secret(error, uri) else error)


def _translate(error: Exception, action: str, uri: str) -> CfcreError | None:
    import requests  # type: ignore[import-untyped]
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    place = redact(uri)
    detail = " ".join(redact(str(error), uri).split())[:500]
    if isinstance(error, requests.RequestException | sqlalchemy.exc.OperationalError | OSError):
        # OSError: the artifact store's disk is full or its share is gone.
        return TrackingUnavailable(f"cannot {action}: MLflow at {place} did not answer: {detail}")
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        return ConfigurationError(f"cannot {action}: the MLflow database at {place}: {detail}")
    if not isinstance(error, MlflowException):
        return None
    code = str(error.error_code)
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(f"cannot {action}: {detail}")
    if code in _CODES_CONFIGURATION:
        return ConfigurationError(
            f"cannot {action}: MLflow at {place} refused: {detail}; {_CODES_CONFIGURATION[code]}"
        )
    if "out-of-date database schema" in detail:
        return ConfigurationError(
            f"cannot {action}: the MLflow database at {place} was made by another MLflow version; "
            "back it up and run 'mlflow db upgrade' on it"
        )
    if code in _CODES_AWAY or any(sign in detail for sign in _AWAY):
        return TrackingUnavailable(f"cannot {action}: MLflow at {place} did not answer: {detail}")
    return CfcreError(f"cannot {action}: MLflow at {place} refused: {detail}")
