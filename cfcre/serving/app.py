"""The HTTP application: MLflow's four routes, ``/ready`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

import cfcre
from cfcre.config import ServingSettings
from cfcre.serving.metrics import ServingMetrics
from cfcre.serving.served import Slot
from cfcre.tracking.scoring import JSON, Answer, ScoringFailure, error_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["VERSION_HEADER", "WINDOWED_HEADER", "ServerState", "create_app"]

_access = logging.getLogger("cfcre.serving.access")

VERSION_HEADER = "X-Cfcre-Model-Version"
WINDOWED_HEADER = "X-Cfcre-Windowed-Rows"


@dataclass
class ServerState:
    """What the routes share.

    Attributes:
        settings: Limits and times.
        slot: The version that answers.
        metrics: What Prometheus reads.
        token: Bearer token that ``/invocations`` wants; None wants none.
        stopping: Set once SIGTERM came: not ready any more.
        in_flight: Requests being answered; changed on the event loop only.
    """

    settings: ServingSettings
    slot: Slot
    metrics: ServingMetrics
    token: str | None = field(default=None, repr=False)
    stopping: bool = False
    in_flight: int = 0


def create_app(state: ServerState) -> Starlette:
    """The ASGI application."""
    # As many threads as requests are admitted: none waits for a thread.
    pool = ThreadPoolExecutor(state.settings.max_requests, thread_name_prefix="cfcre-request")
    state.metrics.in_flight.set_function(lambda: state.in_flight)
    state.metrics.queued_rows.set_function(
        lambda: served.queued_rows if (served := state.slot.current) else 0
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=False, cancel_futures=True)

    async def alive(request: Request) -> Response:
        return Response("\n", media_type=JSON)

    async def ready(request: Request) -> Response:
        served = state.slot.current
        if state.stopping or served is None:
            stopping = ScoringFailure(503, "TEMPORARILY_UNAVAILABLE", "the server is stopping", 5)
            return _respond((stopping if state.stopping else _no_champion()).answer())
        return _respond(Answer(200, json.dumps({"model_version": served.version})), served.version)

    async def version(request: Request) -> Response:
        return _version(request, state)

    async def metrics(request: Request) -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def invocations(request: Request) -> Response:
        started = time.perf_counter()
        # What is counted where an exception, which the handler below answers, passes through.
        answer, model = Answer(500, ""), None
        size = [0]
        try:
            answer, model = await _invocations(request, state, pool, size)
            return _respond(answer, model)
        except ClientDisconnect:
            # Nobody reads this; the status is what proxies log for it.
            answer = Answer(499, "")
            return Response(status_code=answer.status)
        finally:
            seconds = time.perf_counter() - started
            state.metrics.requests.labels(code=str(answer.status)).inc()
            state.metrics.seconds.observe(seconds)
            state.metrics.rows.inc(answer.rows)
            if state.settings.access_log:
                _access.info(
                    "POST /invocations %d %.1f ms, %d rows, %d bytes, version %s",
                    answer.status,
                    seconds * 1000,
                    answer.rows,
                    size[0],
                    model or "-",
                )

    return Starlette(
        routes=[
            Route("/invocations", invocations, methods=["POST"]),
            Route("/ping", alive),
            Route("/health", alive),
            Route("/ready", ready),
            Route("/version", version),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: _no_such_route, Exception: _bug},
        lifespan=lifespan,
    )


async def _invocations(
    request: Request, state: ServerState, pool: ThreadPoolExecutor, size: list[int]
) -> tuple[Answer, str | None]:
    try:
        _check_token(request, state.token)
        if (served := state.slot.current) is None:
            raise _no_champion()
        if state.in_flight >= state.settings.max_requests:
            raise ScoringFailure(
                503,
                "TEMPORARILY_UNAVAILABLE",
                f"{state.in_flight} requests are being answered (serving.max_requests); try again",
                1,
            )
    except ScoringFailure as failure:
        served = state.slot.current
        return failure.answer(), served.version if served else None
    deadline = time.monotonic() + state.settings.request_timeout_seconds
    state.in_flight += 1
    try:
        try:
            body = await _read_body(request, state.settings, size)
        except ScoringFailure as failure:
            return failure.answer(), served.version
        content_type = request.headers.get("content-type", "")
        return await asyncio.get_running_loop().run_in_executor(
            pool, _answer, state.slot, body, content_type, deadline
        )
    finally:
        state.in_flight -= 1


def _answer(
    slot: Slot, body: bytes, content_type: str, deadline: float
) -> tuple[Answer, str | None]:
    """In a thread of the pool: the version is chosen here and kept to the end."""
    with slot.use() as served:
        if served is None:
            return _no_champion().answer(), None
        seconds = deadline - time.monotonic()
        return served.answer(body, content_type, seconds), served.version


def _no_champion() -> ScoringFailure:
    return ScoringFailure(503, "TEMPORARILY_UNAVAILABLE", "no champion is loaded yet; try again", 5)


def _check_token(request: Request, token: str | None) -> None:
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Bytes: compare_digest refuses text beyond ASCII.
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise ScoringFailure(
            401, "UNAUTHENTICATED", "send the header 'Authorization: Bearer TOKEN' with the token"
        )


async def _read_body(request: Request, settings: ServingSettings, size: list[int]) -> bytes:
    """The body, never held beyond its limit."""
    limit = settings.max_body_bytes
    too_large = ScoringFailure(
        413,
        "INVALID_PARAMETER_VALUE",
        f"the body is larger than {limit} bytes (serving.max_body_bytes); send several requests",
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            async for chunk in request.stream():
                size[0] += len(chunk)
                if size[0] > limit:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise ScoringFailure(
            408,
            "DEADLINE_EXCEEDED",
            f"the body did not arrive in {settings.body_timeout_seconds:g} s "
            "(serving.body_timeout_seconds)",
        ) from None
    return b"".join(chunks)


def _respond(answer: Answer, version: str | None = None) -> Response:
    headers = {}
    if version is not None:
        headers[VERSION_HEADER] = version
    if answer.windowed:
        headers[WINDOWED_HEADER] = str(answer.windowed)
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    if answer.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if answer.status == 408:
        headers["Connection"] = "close"
    return Response(answer.body, answer.status, headers, media_type=JSON)


def _version(request: Request, state: ServerState) -> Response:
    mlflow = metadata.version("mlflow")
    served = state.slot.current
    number = served.version if served else None
    if JSON not in request.headers.get("accept", ""):
        # MLflow's own server answers the bare text, and its clients read it so.
        return _respond(Answer(200, mlflow), number)
    versions = {"model_version": number, "cfcre": cfcre.__version__, "mlflow": mlflow}
    return _respond(Answer(200, json.dumps(versions)), number)


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = "there is POST /invocations, and GET /ping, /health, /ready, /version, /metrics"
    headers = error.headers if isinstance(error, HTTPException) else None
    return Response(error_body("ENDPOINT_NOT_FOUND", message), status, headers, media_type=JSON)


async def _bug(request: Request, error: Exception) -> Response:
    return Response(
        error_body("INTERNAL_ERROR", "the server failed; its log says where"), 500, media_type=JSON
    )
