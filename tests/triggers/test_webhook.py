"""The webhook over real connections: who may post, what is answered, what it stands."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quick_world import SECRET

from cfcre.errors import ConfigurationError, StoreUnavailable
from cfcre.intake.events.notifications import InboxPlace, Look
from cfcre.operations.triggers.http import HttpServer
from cfcre.operations.triggers.recorder import Recorder
from cfcre.operations.triggers.signature import Gatekeeper, read_secret
from cfcre.operations.triggers.webhook import WebhookLimits, webhook_app

pytestmark = pytest.mark.server

BODY_LIMIT = 4096
MAX_CONNECTIONS = 20
MINIO = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "bucket/inbox/people/a.jsonl",
    "Records": [
        {
            "eventName": "s3:ObjectCreated:Put",
            "eventSource": "minio:s3",
            "s3": {"bucket": {"name": "bucket"}, "object": {"key": "inbox%2Fpeople%2Fa.jsonl"}},
        }
    ],
}
SEAWEED = {
    "key": "/buckets/bucket/inbox/people/a.jsonl",
    "event_type": "create",
    "message": {"new_entry": {"name": "a.jsonl"}},
}
ARGO = {"notification": MINIO["Records"]}
CLOUD = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": MINIO}
TEST_EVENT = {"Event": "s3:TestEvent", "Bucket": "bucket"}


def signature(body: bytes, timestamp: str, secret: str = SECRET) -> str:
    """As a sender makes it, without our code."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


@dataclass
class Hook:
    port: int
    now: list[float]
    looks: list[Look] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    trouble: Exception | None = None
    seconds: float = 0.0

    def record(self, look: Look) -> int:
        time.sleep(self.seconds)
        if self.trouble is not None:
            raise self.trouble
        self.looks.append(look)
        return 1

    def send(
        self, body: bytes, headers: dict[str, str], *, method: str = "POST", path: str = "/webhook"
    ) -> tuple[int, dict[str, Any], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else {}, answer.headers
        finally:
            connection.close()

    def token(self, body: bytes) -> tuple[int, dict[str, Any], Any]:
        return self.send(body, {"Authorization": f"Bearer {SECRET}"})

    def signed(self, body: bytes, *, age: float = 0.0) -> dict[str, str]:
        timestamp = str(int(self.now[0] - age))
        return {"X-Cfcre-Timestamp": timestamp, "X-Cfcre-Signature": signature(body, timestamp)}

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture(scope="module")
def server() -> Iterator[Hook]:
    now = [1_767_225_600.0]
    hook = Hook(0, now)
    recorder = Recorder(lambda look: hook.record(look))
    app = webhook_app(
        Gatekeeper(SECRET.encode(), 300.0, clock=lambda: now[0]),
        InboxPlace("bucket", ""),
        recorder,
        WebhookLimits(BODY_LIMIT, body_seconds=1.0, answer_seconds=1.0),
        lambda outcome: hook.counted.update([outcome]),
    )
    http_server = HttpServer(
        app, 0, name="webhook", deadline_seconds=3.0, max_connections=MAX_CONNECTIONS
    )
    hook.port = http_server.port
    recorder.start()
    http_server.start()
    yield hook
    http_server.stop()
    recorder.stop()


@pytest.fixture
def hook(server: Hook) -> Hook:
    server.looks.clear()
    server.counted.clear()
    server.trouble, server.seconds = None, 0.0
    server.now[0] += 10_000  # no test sees the signatures of another one
    return server


@pytest.mark.parametrize("payload", [MINIO, SEAWEED, ARGO, CLOUD, {"stream": "people"}])
def test_an_event_is_recorded(hook: Hook, payload: Any) -> None:
    status, answer, _ = hook.token(json.dumps(payload).encode())
    assert (status, answer["outcome"], answer["streams"]) == (200, "recorded", ["people"])
    assert hook.looks == [Look(frozenset({"people"}))]
    assert hook.counted == {"recorded": 1}


def test_a_signed_event_is_recorded(hook: Hook) -> None:
    body = json.dumps(MINIO).encode()
    assert hook.send(body, hook.signed(body, age=299))[0] == 200
    assert hook.send(body, hook.signed(body, age=-299))[0] == 200  # its clock is ahead
    assert len(hook.looks) == 2


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (TEST_EVENT, "test"),
        ({**SEAWEED, "event_type": "delete"}, "ignored"),
        ({**SEAWEED, "key": "/buckets/other/inbox/people/a"}, "ignored"),
    ],
)
def test_nothing_to_do_is_no_failure(hook: Hook, payload: Any, outcome: str) -> None:
    status, answer, _ = hook.token(json.dumps(payload).encode())
    assert (status, answer["outcome"], hook.looks) == (200, outcome, [])


def test_who_does_not_know_the_secret_is_refused(hook: Hook) -> None:
    body = json.dumps(MINIO).encode()
    good = hook.signed(body)
    stamp = good["X-Cfcre-Timestamp"]
    refused: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": SECRET},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {SECRET}x"},
        {"Authorization": "Bearer \xff\xfe"},
        {"X-Cfcre-Signature": good["X-Cfcre-Signature"]},
        {**good, "X-Cfcre-Timestamp": str(int(stamp) + 1)},
        {**good, "X-Cfcre-Timestamp": "now"},
        {**good, "X-Cfcre-Timestamp": "9" * 400},
        {**good, "X-Cfcre-Timestamp": "-1"},
        {**good, "X-Cfcre-Signature": "sha256="},
        {**good, "X-Cfcre-Signature": good["X-Cfcre-Signature"][:-1] + "g"},
        {**good, "X-Cfcre-Signature": good["X-Cfcre-Signature"].replace("sha256", "sha1")},
        {**good, "X-Cfcre-Signature": signature(body, stamp, "another secret")},
        {**good, "X-Cfcre-Signature": signature(body + b" ", stamp)},
        # A signature that is there must be right, whatever else is.
        {"X-Cfcre-Signature": "x", "Authorization": f"Bearer {SECRET}"},
        hook.signed(body, age=301),
        hook.signed(body, age=-301),
    ]
    for headers in refused:
        status, answer, answered = hook.send(body, headers)
        assert (status, answer["outcome"]) == (401, "unauthorized"), headers
        assert answered["WWW-Authenticate"] == "Bearer"
        assert SECRET not in json.dumps(answer)
    assert hook.looks == [] and hook.counted == {"unauthorized": len(refused)}


def test_a_replay_changes_nothing(hook: Hook) -> None:
    body = json.dumps(MINIO).encode()
    headers = hook.signed(body)
    assert hook.send(body, headers)[1]["outcome"] == "recorded"
    status, answer, _ = hook.send(body, headers)
    assert (status, answer) == (200, {"outcome": "repeated"})
    headers["X-Cfcre-Signature"] = headers["X-Cfcre-Signature"].upper().replace("SHA", "sha")
    assert hook.send(body, headers)[1]["outcome"] == "repeated"
    hook.now[0] += 301
    assert hook.send(body, headers)[0] == 401
    assert len(hook.looks) == 1


def test_what_was_not_recorded_may_be_sent_again(hook: Hook) -> None:
    hook.trouble = StoreUnavailable("bucket on host such-and-such is away")
    body = json.dumps(MINIO).encode()
    headers = hook.signed(body)
    status, answer, answered = hook.send(body, headers)
    assert (status, answer["outcome"], answered["Retry-After"]) == (503, "unavailable", "5")
    assert "such-and-such" not in json.dumps(answer)
    hook.trouble = None
    assert hook.send(body, headers)[1]["outcome"] == "recorded"


def test_a_look_that_takes_long_is_said_and_goes_on(
    hook: Hook, wait_for: Callable[..., None]
) -> None:
    hook.seconds = 1.5
    assert hook.token(json.dumps(MINIO).encode())[0] == 503
    wait_for(lambda: hook.looks)


def test_a_bug_while_recording_is_not_shown(hook: Hook) -> None:
    hook.trouble = ZeroDivisionError("secrets of the trade")
    status, answer, _ = hook.token(json.dumps(MINIO).encode())
    assert status == 503 and "trade" not in json.dumps(answer)
    hook.trouble = None
    assert hook.token(json.dumps(MINIO).encode())[0] == 200  # the recorder goes on


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (b'{"stream": "\xff"}', 400),
        (b"[" * 4000, 400),
        (b"{}", 422),
        (b'{"stream": "../../etc"}', 422),
        (b'{"stream": "a/b"}', 422),
        (b'{"Records": [{}]}', 422),
    ],
)
def test_a_body_that_makes_no_sense(hook: Hook, body: bytes, status: int) -> None:
    found, answer, _ = hook.token(body)
    assert (found, answer["outcome"], hook.looks) == (status, "not_understood", [])


def test_a_body_that_is_too_large(hook: Hook) -> None:
    large = b" " * (BODY_LIMIT + 1)
    assert hook.token(large)[0] == 413
    head = f"POST /webhook HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n".encode()
    # The length that is declared is enough; so is what arrives without a declared length.
    assert b" 413 " in hook.raw(head + b"Content-Length: 999999999999\r\n\r\n")[:40]
    chunk = b"%x\r\n%s\r\n" % (len(large), large)
    answer = hook.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")
    assert b" 413 " in answer[:40]
    assert hook.token(json.dumps(MINIO).encode())[0] == 200


def test_who_is_not_known_can_not_make_us_read_a_body(hook: Hook) -> None:
    head = b"POST /webhook HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n"
    begun = time.monotonic()
    assert b" 401 " in hook.raw(head)[:40]  # the body never came
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhook", 405),
        ("HEAD", "/webhook", 405),  # MinIO asks so whether somebody is there
        ("PUT", "/webhook", 405),
        ("POST", "/", 404),
        ("POST", "/webhook/x", 404),
        ("POST", "/../webhook", 404),
    ],
)
def test_other_paths_and_methods(hook: Hook, method: str, path: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert hook.send(b"{}", headers, method=method, path=path)[0] == status


def test_slow_senders_are_cut_off(hook: Hook) -> None:
    """A head that never ends, a body that never ends, a client that says nothing."""
    start = b"POST /webhook HTTP/1.1\r\nHost: h\r\n"
    auth = f"Authorization: Bearer {SECRET}\r\nContent-Length: 100\r\n\r\n".encode()

    def drip(first: bytes, drop: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", hook.port), timeout=20) as connection:
            connection.sendall(first)
            end = time.monotonic() + 30
            try:
                while True:
                    assert time.monotonic() < end, "it was not cut off"
                    connection.settimeout(0.2)
                    try:
                        return connection.recv(4096)
                    except TimeoutError:
                        connection.sendall(drop)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    assert drip(start, b"X-A: b\r\n") == b""  # no request, so no answer: just the end
    assert b" 408 " in drip(start + auth, b" ")[:40]
    assert drip(b"", b"") == b""
    assert hook.counted == {"too_slow": 1}


def test_a_connection_that_breaks_off_in_the_body(
    hook: Hook, wait_for: Callable[..., None]
) -> None:
    head = f"POST /webhook HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n".encode()
    with socket.create_connection(("127.0.0.1", hook.port)) as connection:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
    wait_for(lambda: hook.counted["broken_off"])
    assert hook.looks == []


def test_too_many_connections_are_turned_away_and_the_others_served(
    hook: Hook, wait_for: Callable[..., None]
) -> None:
    held = [
        socket.create_connection(("127.0.0.1", hook.port), timeout=20)
        for _ in range(MAX_CONNECTIONS)
    ]
    try:
        with socket.create_connection(("127.0.0.1", hook.port), timeout=20) as one_more:
            assert one_more.recv(4096).startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in held:
            connection.close()
    wait_for(lambda: hook.token(json.dumps(MINIO).encode())[0] == 200)


def test_many_at_once_are_answered_by_few_looks(hook: Hook) -> None:
    hook.seconds = 0.2
    statuses: list[int] = []

    def post(number: int) -> None:
        statuses.append(hook.token(json.dumps({"stream": f"s{number}"}).encode())[0])

    threads = [threading.Thread(target=post, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12
    assert frozenset().union(*(look.streams for look in hook.looks)) == {f"s{n}" for n in range(12)}
    assert len(hook.looks) < 12


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=300)
    | st.dictionaries(
        st.sampled_from(["Records", "stream", "body", "key", "event_type", "Type", "Message"]),
        st.none() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    ).map(lambda value: json.dumps(value).encode()),
    right=st.booleans(),
)
def test_no_body_is_a_fault_of_ours(hook: Hook, body: bytes, right: bool) -> None:
    status, _, _ = hook.send(body, hook.signed(body if right else body + b"x"))
    assert status in ({200, 400, 422} if right else {401})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_on_the_wire_are_a_fault_of_ours(hook: Hook, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hook.port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            return
    assert answer == b"" or answer.split()[1][:1] == b"4"


@pytest.mark.parametrize("value", [None, "", "   ", "short"])
def test_a_webhook_without_a_secret_does_not_start(value: str | None) -> None:
    environ = {} if value is None else {"CFCRE_WEBHOOK_SECRET": value}
    with pytest.raises(ConfigurationError, match="CFCRE_WEBHOOK_SECRET") as refused:
        read_secret(environ)
    assert "short" not in str(refused.value)


def test_a_port_that_is_taken_is_said(hook: Hook) -> None:
    with pytest.raises(ConfigurationError, match=f"port {hook.port}"):
        HttpServer(
            lambda *_: None,  # type: ignore[arg-type, return-value]
            hook.port,
            name="x",
            deadline_seconds=1,
            max_connections=1,
        )
