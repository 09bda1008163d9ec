"""What one request may hold and take, who may ask, and what is written down about it."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from serving_cases import (
    HEADER,
    ROWS,
    get,
    metric,
    post,
    row,
    running,
    serving_settings,
    until,
)

pytestmark = pytest.mark.server

LIMITS = {"max_rows": 4, "max_text_chars": 200, "max_body_bytes": 5000}


@contextmanager
def held(server: Any):
    """Keep the model from answering while the block runs."""
    batcher = server.state.slot.current._batcher
    forward, gate = batcher._forward, threading.Event()
    batcher._forward = lambda encoded: gate.wait(60) and forward(encoded)
    try:
        yield
    finally:
        gate.set()
        batcher._forward = forward


def assert_error(answer: requests.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert words in answer.json()["message"]


def raw(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=30)


def read_to_end(client: socket.socket) -> bytes:
    found = b""
    while chunk := client.recv(65536):
        found += chunk
    return found


def test_rows_texts_and_bodies_beyond_the_limit_are_refused_whole(settings: Any) -> None:
    with running(serving_settings(settings, **LIMITS)) as server:
        url = server.url
        assert post(url, {"inputs": ROWS[:1] * 4}).status_code == 200
        assert_error(post(url, {"inputs": ROWS[:1] * 5}), 413, "5 rows, 4 are accepted")
        fits = row("ada owns riga" + " " * 187)
        assert post(url, {"inputs": [fits]}).status_code == 200
        long = row("ada owns riga" + " " * 188)
        assert_error(post(url, {"inputs": [fits, long]}), 413, "row 1: the text has 201 characters")
        exact = json.dumps({"inputs": ROWS}).encode()
        exact += b" " * (5000 - len(exact))
        assert post(url, exact).status_code == 200
        assert_error(post(url, exact + b" "), 413, "larger than 5000 bytes")
        # Chunked: no length is declared, so the bytes are counted as they come.
        chunks = (b" " * 1000 for _ in range(6))
        assert_error(
            requests.post(
                f"{url}/invocations",
                data=chunks,
                headers={"Content-Type": "application/json"},
                timeout=30,
            ),
            413,
            "larger than 5000 bytes",
        )
        # Much more than fits into any buffer: the answer still arrives.
        assert_error(post(url, b" " * 3_000_000), 413, "larger than 5000 bytes")
        assert metric(url, 'cfcre_serve_requests_total{code="413"}') == 5
        assert metric(url, "cfcre_serve_rows_total") == 4 + 1 + 3


def test_a_body_that_is_declared_too_large_is_not_waited_for(settings: Any) -> None:
    with running(serving_settings(settings, **LIMITS)) as server, raw(server.url) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
SLOW_CLIENTS = {
    "silent": (b"", b""),
    "half a line": (b"POST /invoc", b""),
    "half the headers": (POST + b"X-A: b", b""),
    "half a body": (POST + b"Content-Length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
    "a part of too much": (POST + b"Content-Length: 9999\r\n\r\n{", b"HTTP/1.1 413 "),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 400 "),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", b"HTTP/1.1 400 "),
}


def test_slow_and_silent_clients_are_let_go(settings: Any) -> None:
    # Long enough that a busy machine does not take an honest request for a slow one.
    with running(serving_settings(settings, **LIMITS, body_timeout_seconds=3)) as server:
        clients = {name: raw(server.url) for name in SLOW_CLIENTS}
        for name, client in clients.items():
            client.sendall(SLOW_CLIENTS[name][0])
        assert post(server.url, {"inputs": ROWS}).status_code == 200
        for name, client in clients.items():
            with client:
                found, wanted = read_to_end(client), SLOW_CLIENTS[name][1]
            assert found.startswith(wanted) and bool(found) == bool(wanted), name
        assert post(server.url, {"inputs": ROWS}).status_code == 200


def test_a_keep_alive_connection_is_not_taken_for_a_silent_one(settings: Any) -> None:
    with running(serving_settings(settings, body_timeout_seconds=3)) as server:
        client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
        client.connect()
        connection = client.sock
        for wait in (4, 0):
            client.request("GET", "/ping")
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"\n")
            # It would have been closed by now, and opened anew by the next request.
            threading.Event().wait(wait)
            assert client.sock is connection
        client.close()


def test_connections_beyond_the_limit_are_closed(settings: Any) -> None:
    with running(serving_settings(settings, max_connections=3)) as server:
        until(lambda: not server._uvicorn.server_state.connections)
        open_ones = [raw(server.url) for _ in range(3)]
        until(lambda: len(server._uvicorn.server_state.connections) == 3)
        with pytest.raises(requests.ConnectionError):
            get(server.url, "/ping")
        for client in open_ones:
            client.close()
        until(lambda: not server._uvicorn.server_state.connections)
        assert get(server.url, "/ping").status_code == 200


def test_more_requests_than_admitted_are_told_to_come_again(settings: Any) -> None:
    with (
        running(serving_settings(settings, max_requests=2)) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        with held(server):
            waiting = [pool.submit(post, server.url, {"inputs": ROWS}) for _ in range(2)]
            until(lambda: server.state.in_flight == 2)
            refused = post(server.url, {"inputs": ROWS})
            assert_error(refused, 503, "2 requests are being answered")
            assert refused.headers["retry-after"] == "1"
            # What Kubernetes asks is answered all the same.
            for path in ("/ping", "/ready", "/metrics"):
                assert get(server.url, path).status_code == 200
            assert metric(server.url, "cfcre_serve_requests_in_flight") == 2
        assert [future.result(60).status_code for future in waiting] == [200, 200]
        assert metric(server.url, "cfcre_serve_requests_in_flight") == 0


def test_a_request_that_takes_too_long_is_given_up(settings: Any) -> None:
    with running(serving_settings(settings, request_timeout_seconds=0.5)) as server:
        with held(server):
            assert_error(post(server.url, {"inputs": ROWS}), 504, "not answered in time")
        assert post(server.url, {"inputs": ROWS}).status_code == 200


def test_a_failing_model_is_the_servers_fault(settings: Any) -> None:
    with running(settings) as server:
        batcher = server.state.slot.current._batcher
        forward = batcher._forward

        def fail(encoded: Any) -> Any:
            raise RuntimeError(f"CUDA out of memory, {ROWS[0]['text']}")

        batcher._forward = fail
        answer = post(server.url, {"inputs": ROWS})
        assert_error(answer, 500, "the model failed")
        assert answer.json()["error_code"] == "INTERNAL_ERROR"
        batcher._forward = forward
        assert post(server.url, {"inputs": ROWS}).status_code == 200


def test_a_client_that_leaves_disturbs_nobody(settings: Any) -> None:
    with running(settings) as server:
        body = json.dumps({"inputs": ROWS}).encode()
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for sent in (body[:10], body):
            with raw(server.url) as client:
                client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + sent)
        until(lambda: metric(server.url, 'cfcre_serve_requests_total{code="499"}') >= 1)
        until(lambda: server.state.in_flight == 0)
        assert post(server.url, {"inputs": ROWS}).status_code == 200


def test_a_bug_of_the_server_is_counted_as_one(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*arguments: Any) -> Any:
        raise RuntimeError("a bug")

    with running(settings) as server:
        monkeypatch.setattr(type(server.state.slot.current), "answer", bug)
        assert_error(post(server.url, {"inputs": ROWS}), 500, "the server failed")
        assert metric(server.url, 'cfcre_serve_requests_total{code="500"}') == 1


def test_a_token_is_asked_for_where_one_is_set(settings: Any) -> None:
    token = "correct-horse-battery"
    with running(settings, token=token) as server:
        for given in (None, "", token, f"Basic {token}", "Bearer ", f"Bearer {token}x", "Bearer é"):
            headers = {} if given is None else {"Authorization": given.encode("latin-1")}
            answer = post(server.url, {"inputs": ROWS}, **headers)
            assert_error(answer, 401, "Authorization: Bearer TOKEN")
            assert answer.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "bearer"):
            answer = post(server.url, {"inputs": ROWS}, Authorization=f"{scheme} {token}")
            assert answer.status_code == 200
        for path in ("/ping", "/health", "/ready", "/version", "/metrics"):
            assert get(server.url, path).status_code == 200
        assert metric(server.url, 'cfcre_serve_requests_total{code="401"}') == 7
        assert token not in repr(server.state)


def test_the_log_has_no_text_and_no_token(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("cfcre", "uvicorn", "mlflow"):
        caplog.set_level(logging.DEBUG, name)
    secret, person = "correct-horse-battery", "Wanda Orsini"
    text = f"{person} wrote riga"
    with running(settings, token=secret) as server:
        authorised = {"Authorization": f"Bearer {secret}"}
        assert post(server.url, {"inputs": [row(text, person, "riga")]}, **authorised).ok
        broken = {**row(text, person, "riga"), "head": {"start": 0, "end": 900}}
        for body in ({"inputs": [broken]}, {"inputs": [{"text": text}]}, text.encode()):
            assert post(server.url, body, **authorised).status_code == 400
        batcher = server.state.slot.current._batcher

        def fail(encoded: Any) -> Any:
            raise RuntimeError(text)

        batcher._forward = fail
        assert (
            post(server.url, {"inputs": [row(text, person, "riga")]}, **authorised).status_code
            == 500
        )
        get(server.url, f"/{person}?{secret}")
    assert "POST /invocations 200" in caplog.text
    assert "1 rows" in caplog.text and "version 1" in caplog.text
    assert "a pass over 1 rows failed: RuntimeError" in caplog.text
    assert secret not in caplog.text
    assert person not in caplog.text and "wrote riga" not in caplog.text


def test_the_access_log_can_be_switched_off(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cfcre")
    with running(serving_settings(settings, access_log=False)) as server:
        assert post(server.url, {"inputs": ROWS}).headers[HEADER] == "1"
    assert "POST" not in caplog.text


def test_with_a_delay_it_goes_on_accepting_but_is_not_ready(settings: Any) -> None:
    with running(serving_settings(settings, shutdown_delay_seconds=600)) as server:
        server.stop()
        assert get(server.url, "/ready").status_code == 503
        assert "stopping" in get(server.url, "/ready").json()["message"]
        assert get(server.url, "/ping").status_code == 200
        assert post(server.url, {"inputs": ROWS}).status_code == 200
        # Leaving the block stops it again: a second signal does not wait.


def test_after_the_delay_it_stops(settings: Any) -> None:
    with running(serving_settings(settings, shutdown_delay_seconds=0.1)) as server:
        server.stop()
        until(lambda: not server._uvicorn.server_state.connections and server._uvicorn.should_exit)


def test_what_outlasts_the_grace_period_is_cut_off(settings: Any) -> None:
    changes = {"shutdown_grace_seconds": 1, "body_timeout_seconds": 600}
    with (
        running(serving_settings(settings, **changes)) as server,
        ThreadPoolExecutor(1) as pool,
        raw(server.url) as client,
        held(server),
    ):
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        waiting = pool.submit(post, server.url, {"inputs": ROWS})
        until(lambda: server.state.in_flight == 2)
        server.stop()
        # Neither a client that never sends nor a model that never answers holds it up.
        assert b" 500 " in read_to_end(client)[:40]
        assert waiting.exception(60) or waiting.result().status_code == 500
