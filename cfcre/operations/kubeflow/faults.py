"""What the Kubeflow client raises as this package's errors, and what may be sent again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cfcre.errors import CfcreError, ConfigurationError, KubeflowUnavailable, NotFoundError

__all__ = ["Fault", "fault_of"]

_DETAIL_CHARS = 400


@dataclass(frozen=True)
class Fault:
    """A call that failed.

    Attributes:
        error: What to raise if it stays so.
        again: Whether the same call may be sent again.
        unsure: Whether the call may have taken effect all the same.
        conflict: Whether the server says that the thing is there already.
    """

    error: CfcreError
    again: bool = False
    unsure: bool = False
    conflict: bool = False


def fault_of(error: Exception, action: str, host: str, token_file: str) -> Fault | None:
    """Read an exception of the client; None for one that is a bug of ours.

    Args:
        error: What was raised.
        action: What was being done: "submit the run".
        host: Address of the API.
        token_file: Where the token is read from.
    """
    import urllib3
    from kfp_server_api.exceptions import ApiException

    place = f"cannot {action}: Kubeflow at {host}"
    if isinstance(error, ApiException):
        return _refusal(error.status, _detail(error.body) or str(error.reason), place, token_file)
    if isinstance(error, urllib3.exceptions.HTTPError):
        cause = getattr(error, "reason", None)
        if isinstance(cause, urllib3.exceptions.SSLError):
            return _untrusted(place, str(cause))
        return Fault(
            KubeflowUnavailable(f"{place} did not answer: {_short(str(error))}"),
            again=True,
            unsure=True,
        )
    if isinstance(error, OSError):
        # The client reads the token file at every request.
        return Fault(ConfigurationError(f"{place}: the token can not be read: {error}"))
    if isinstance(error, TypeError | ValueError | AttributeError):
        return Fault(
            ConfigurationError(
                f"{place} answered with something that is no answer of its API; give the address "
                "of the API server, not of a login page, as kubeflow.host"
            )
        )
    return None


def _refusal(status: int | None, detail: str, place: str, token_file: str) -> Fault:
    said = f"{place} refused ({status}): {detail}"
    if not status:
        return _untrusted(place, detail)
    if status == 401:
        return Fault(
            ConfigurationError(f"{said}; the token in {token_file} is missing, foreign or expired"),
            again=True,
        )
    if status == 404:
        return Fault(NotFoundError(said))
    if status == 409:
        return Fault(CfcreError(said), conflict=True)
    if status == 429 or status >= 500:
        problem = KubeflowUnavailable(f"{place} answered {status}: {detail}")
        return Fault(problem, again=True, unsure=status != 429)
    if status == 403:
        return Fault(
            ConfigurationError(
                f"{said}; look at kubeflow.namespace and at the rights of this service account"
            )
        )
    return Fault(ConfigurationError(said))


def _untrusted(place: str, detail: str) -> Fault:
    return Fault(
        ConfigurationError(
            f"{place} is not who it should be: {_short(detail)}; kubeflow.ca_file names the "
            "certificates to check it by"
        )
    )


def _detail(body: object) -> str:
    """The message within an error's body."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        data = json.loads(text)
    except ValueError:
        return _short(text)
    if isinstance(data, dict):
        text = str(data.get("message") or data.get("error_message") or data.get("error") or text)
    return _short(text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_CHARS else line[: _DETAIL_CHARS - 1] + "…"
