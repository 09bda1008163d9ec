"""Who may post to the webhook: senders that know the secret.

A sender that can sign sends the HMAC-SHA256 of ``<timestamp>.<body>`` under the secret:

::

    X-Cfcre-Timestamp: 1767225600
    X-Cfcre-Signature: sha256=<64 hexadecimal digits>

A signature names its moment, so that a recorded request is worth nothing later; within the window
it is worth nothing either, see :meth:`Gatekeeper.repeated`. A sender that can not sign (MinIO,
SeaweedFS) sends the secret itself as a bearer token: over TLS, or inside the cluster only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from cfcre.errors import ConfigurationError

__all__ = ["SECRET_VARIABLE", "Gatekeeper", "read_secret", "sign"]

SECRET_VARIABLE = "CFCRE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable, not a secret
_LEAST_BYTES = 16
_REMEMBERED = 20_000
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})")


def read_secret(environ: Mapping[str, str]) -> bytes:
    """The webhook's secret.

    Raises:
        ConfigurationError: There is none, or it is too short to be one.
    """
    secret = environ.get(SECRET_VARIABLE, "").strip().encode("utf-8", "surrogateescape")
    if len(secret) < _LEAST_BYTES:
        found = f"has {len(secret)} bytes" if secret else "is not set"
        raise ConfigurationError(
            f"{SECRET_VARIABLE} {found}; a webhook needs a secret of {_LEAST_BYTES} bytes or more, "
            "for example the output of 'openssl rand -hex 32'"
        )
    return secret


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of ``X-Cfcre-Signature``."""
    return (
        "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    )


class Gatekeeper:
    """Decides whether a request comes from somebody who knows the secret.

    Args:
        secret: The secret.
        window_seconds: A timestamp may be so far from now, in either direction.
        clock: Unix time; replaced in tests.
    """

    def __init__(
        self, secret: bytes, window_seconds: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._secret = secret
        self._window = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._done: OrderedDict[str, float] = OrderedDict()

    def refuse_headers(self, headers: Mapping[str, str]) -> str | None:
        """Why the request is refused before its body is read; None to go on."""
        if "x-cfcre-signature" not in headers:
            return self._refuse_token(headers.get("authorization"))
        timestamp = headers.get("x-cfcre-timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            return "X-Cfcre-Timestamp must be the Unix time in seconds"
        if abs(self._clock() - int(timestamp)) > self._window:
            return f"X-Cfcre-Timestamp is more than {self._window:g} s from now"
        if not _SIGNATURE.fullmatch(headers["x-cfcre-signature"]):
            return "X-Cfcre-Signature must be sha256= and 64 hexadecimal digits"
        return None

    def refuse_body(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why the request is refused now that its body is there; None to take it."""
        given = headers.get("x-cfcre-signature")
        if given is None:
            return None  # the token was right
        expected = sign(self._secret, headers.get("x-cfcre-timestamp", ""), body)
        if hmac.compare_digest(expected.encode(), given.lower().encode()):
            return None
        return "the signature is wrong"

    def repeated(self, headers: Mapping[str, str]) -> bool:
        """Whether this very request was answered for already.

        A sender whose answer was lost sends it again and is told that it is done; somebody who
        recorded it gains nothing.
        """
        with self._lock:
            self._forget()
            return headers.get("x-cfcre-signature", "").lower() in self._done

    def done(self, headers: Mapping[str, str]) -> None:
        """The request was answered for."""
        given = headers.get("x-cfcre-signature")
        if given is None:
            return
        with self._lock:
            self._done[given.lower()] = self._clock()
            self._forget()

    def _forget(self) -> None:
        # A timestamp may lie a window ahead of now, so a signature may be good for two of them.
        oldest = self._clock() - 2 * self._window
        while self._done and (
            len(self._done) > _REMEMBERED or next(iter(self._done.values())) < oldest
        ):
            self._done.popitem(last=False)

    def _refuse_token(self, given: str | None) -> str | None:
        if given is None:
            return "give X-Cfcre-Signature with X-Cfcre-Timestamp, or a bearer token"
        scheme, _, token = given.partition(" ")
        right = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._secret)
        return None if right and scheme.lower() == "bearer" else "the bearer token is wrong"
