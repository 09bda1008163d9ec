"""``POST /webhook``: an event over HTTP.

The answer is 200 when the ledger has what lies in the streams that the event names, and 503 when it
has not got it in time: the sender then sends again. Nothing has to be remembered in between, so it
makes no difference whether the request came to the watcher that leads or to one that stands by:
each records, which is idempotent, and the leader starts what is recorded at its next step.

=======  ==================================================================================
answer   when
=======  ==================================================================================
200      recorded; or nothing to do: a test event, another place, a request sent again
400      not JSON, or the connection broke off
401      no signature or token, a wrong one, or a timestamp outside the window
404, 405 another path or method
408      the body did not arrive in time
413      the body is too large
422      JSON that is no storage event of a known shape
503      store or ledger did not answer in time, or too many connections; send again
=======  ==================================================================================
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cfcre.errors import CfcreError, DataError
from cfcre.intake.events.notifications import InboxPlace, Notification, parse_notification
from cfcre.operations.triggers.recorder import Recorder
from cfcre.operations.triggers.signature import Gatekeeper

__all__ = ["WebhookLimits", "webhook_app"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebhookLimits:
    """Bounds of one request.

    Attributes:
        body_bytes: Largest body.
        body_seconds: The body must have arrived within so long.
        answer_seconds: The ledger must have the batches within so long.
    """

    body_bytes: int
    body_seconds: float
    answer_seconds: float


class _Refused(Exception):
    def __init__(self, status: int, outcome: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.outcome = outcome


def webhook_app(
    gatekeeper: Gatekeeper,
    place: InboxPlace,
    recorder: Recorder,
    limits: WebhookLimits,
    count: Callable[[str], None],
) -> Starlette:
    """The application.

    Args:
        gatekeeper: Knows the secret.
        place: Where the inbox lies.
        recorder: Brings the ledger up to date.
        limits: Bounds of one request.
        count: Told the outcome of each request.
    """

    async def webhook(request: Request) -> Response:
        try:
            answer = await _take(request, gatekeeper, place, recorder, limits)
        except _Refused as refused:
            count(refused.outcome)
            headers = {"Retry-After": "5"} if refused.status == 503 else {}
            if refused.status == 401:
                headers["WWW-Authenticate"] = "Bearer"
            return JSONResponse(
                {"outcome": refused.outcome, "problem": str(refused)}, refused.status, headers
            )
        count(str(answer["outcome"]))
        return JSONResponse(answer)

    return Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])


async def _take(
    request: Request,
    gatekeeper: Gatekeeper,
    place: InboxPlace,
    recorder: Recorder,
    limits: WebhookLimits,
) -> dict[str, object]:
    problem = gatekeeper.refuse_headers(request.headers)
    if problem is None:
        body = await _body(request, limits)
        problem = gatekeeper.refuse_body(request.headers, body)
    if problem is not None:
        raise _Refused(401, "unauthorized", problem)
    if gatekeeper.repeated(request.headers):
        return {"outcome": "repeated"}
    said = _understand(body, place)
    new = 0
    if said.look:
        new = await _recorded(said, recorder, limits)
    gatekeeper.done(request.headers)
    if not said.look:
        return {"outcome": "test" if said.test else "ignored"}
    return {
        "outcome": "recorded",
        "streams": sorted(said.look.streams),
        "new": new,
        "not_understood": said.strange,
    }


async def _body(request: Request, limits: WebhookLimits) -> bytes:
    too_large = _Refused(413, "too_large", f"the body may have {limits.body_bytes} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limits.body_bytes):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError:
        raise _Refused(
            408, "too_slow", f"the body did not arrive within {limits.body_seconds:g} s"
        ) from None
    except ClientDisconnect:
        raise _Refused(400, "broken_off", "the connection broke off") from None
    return bytes(body)


def _understand(body: bytes, place: InboxPlace) -> Notification:
    try:
        return parse_notification(body, place)
    except DataError as error:
        status = 400 if "not JSON" in str(error) else 422
        raise _Refused(status, "not_understood", str(error)) from None


async def _recorded(said: Notification, recorder: Recorder, limits: WebhookLimits) -> int:
    try:
        async with asyncio.timeout(limits.answer_seconds):
            return await asyncio.wrap_future(recorder.request(said.look))
    except TimeoutError:
        problem = f"it takes longer than {limits.answer_seconds:g} s and goes on; send it again"
    except CfcreError as error:
        # The details are in the log: they name buckets and hosts, which the sender need not know.
        log.warning("webhook: an event could not be recorded: %s", error)
        problem = "store or ledger did not answer; send it again"
    except Exception:
        problem = "it could not be recorded; send it again"
    raise _Refused(503, "unavailable", problem)
