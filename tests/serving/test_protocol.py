"""The protocol, against MLflow's own scoring server: the same requests get the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from serving_cases import HEADER, ROWS, get, mlflow_server, post, row, running, serving_settings

TEXT = ROWS[0]["text"]


@pytest.fixture(scope="module")
def both(session_store: Any) -> Iterator[tuple[str, str]]:
    """Addresses of this project's server and of MLflow's, over one version."""
    import mlflow

    session_store.promote("1")
    folder = session_store.tracker.state_path("1").parents[1]
    model = mlflow.pyfunc.load_model(str(folder))
    settings = serving_settings(session_store.settings)
    with running(settings) as server, mlflow_server(model) as theirs:
        yield server.url, theirs


ANSWERED: dict[str, Any] = {
    "one row": {"inputs": ROWS[:1]},
    "several rows": {"inputs": ROWS},
    "no rows": {"inputs": []},
    "top_k": {"inputs": ROWS, "params": {"top_k": 3}},
    "top_k beyond the relations": {"inputs": ROWS, "params": {"top_k": 99}},
    "params null": {"inputs": ROWS, "params": None},
    "params empty": {"inputs": ROWS, "params": {}},
    "a param that is unknown": {"inputs": ROWS, "params": {"top_k": 2, "other": 1}},
    "extra fields in a row": {"inputs": [{**ROWS[0], "relation": "x", "id": "7"}]},
    "extra fields in the body": {"inputs": ROWS, "other": [1]},
    "a top_k beyond 64 bits": {"inputs": ROWS, "params": {"top_k": 10**30}},
    "a text longer than the encoder reads": {"inputs": [row("so " * 500 + TEXT + " so" * 500)]},
    "NUL, markers and other scripts": {
        "inputs": [ROWS[2], row("[SEP] ada [CLS] riga", "ada", "riga")]
    },
}
REFUSED: dict[str, Any] = {
    "nothing": {},
    "a list": ROWS,
    "a number": 5,
    "instances": {"instances": ROWS},
    "records": {"dataframe_records": ROWS},
    "split": {
        "dataframe_split": {
            "columns": ["text", "head", "tail"],
            "data": [list(ROWS[0].values())],
        }
    },
    "inputs and instances": {"instances": ROWS},
    "inputs null": {"inputs": None},
    "inputs a dict": {"inputs": ROWS[0]},
    "inputs a text": {"inputs": TEXT},
    "a row that is null": {"inputs": [None]},
    "a row that is text": {"inputs": [TEXT]},
    "no spans": {"inputs": [{"text": TEXT}]},
    "a text that is null": {"inputs": [{**ROWS[0], "text": None}]},
    "a text that is a number": {"inputs": [{**ROWS[0], "text": 5}]},
    "a span that is null": {"inputs": [{**ROWS[0], "head": None}]},
    "a start that is null": {"inputs": [{**ROWS[0], "head": {"start": None, "end": 3}}]},
    "a start that is NaN": {"inputs": [{**ROWS[0], "head": {"start": float("nan"), "end": 3}}]},
    "a start of half a character": {"inputs": [{**ROWS[0], "head": {"start": 0.5, "end": 3}}]},
    "an end outside": {"inputs": [{**ROWS[0], "tail": {"start": 4, "end": 999}}]},
    "an end far outside": {"inputs": [{**ROWS[0], "tail": {"start": 4, "end": 10**30}}]},
    "a negative start": {"inputs": [{**ROWS[0], "head": {"start": -1, "end": 3}}]},
    "an empty span": {"inputs": [{**ROWS[0], "head": {"start": 3, "end": 3}}]},
    "an empty text": {"inputs": [{**ROWS[0], "text": ""}]},
    "spans that overlap": {"inputs": [{**ROWS[0], "head": {"start": 20, "end": 23}}]},
    "entities too far apart": {"inputs": [row("ada " + "so " * 200 + "riga")]},
    "one bad row of many": {"inputs": [*ROWS, {"text": TEXT}]},
    "top_k 0": {"inputs": ROWS, "params": {"top_k": 0}},
    "top_k a text": {"inputs": ROWS, "params": {"top_k": "2"}},
    "top_k null": {"inputs": ROWS, "params": {"top_k": None}},
    "top_k a fraction": {"inputs": ROWS, "params": {"top_k": 1.5}},
    "top_k a list": {"inputs": ROWS, "params": {"top_k": [1]}},
    "numbers as text": {"inputs": [{**ROWS[0], "head": {"start": "9", "end": "12"}}]},
    "params a list": {"inputs": ROWS, "params": [1]},
    "params a text": {"inputs": ROWS, "params": "top_k"},
    "the input key of language models": {"input": ROWS},
    "a prompt": {"inputs": ROWS, "prompt": "x"},
    "half a surrogate pair": {"inputs": [row("ada \ud800 riga", "ada", "riga")]},
    "not JSON": b"{",
    "no body": b"",
    "not UTF-8": b'{"inputs": "\xff"}',
    "a byte-order mark": b"\xef\xbb\xbf{}",
    "a number of many digits": b'{"inputs": [' + b"9" * 5000 + b"]}",
    "deeply nested": b"[" * 100_000,
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_mlflow_answers_is_answered_byte_for_byte(both: tuple[str, str], name: str) -> None:
    ours, theirs = (post(url, ANSWERED[name]) for url in both)
    assert theirs.status_code == 200, theirs.text
    assert ours.status_code == 200, ours.text
    assert ours.content == theirs.content
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.headers[HEADER] == "1"


# Here MLflow's server fails with 500, although the fault is the client's.
THEIR_FAILURES = {"a number of many digits", "deeply nested"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_mlflow_refuses_is_refused(both: tuple[str, str], name: str) -> None:
    ours, theirs = (post(url, REFUSED[name]) for url in both)
    if name in THEIR_FAILURES:
        assert theirs.status_code >= 500, theirs.text
        assert ours.status_code == 400
    else:
        assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
    assert ours.headers["content-type"] == "application/json"
    assert ours.headers[HEADER] == "1"
    error = ours.json()
    assert isinstance(error["error_code"], str)
    assert error["message"] and len(error["message"]) < 1100
    assert "stack_trace" not in error and "Traceback" not in ours.text
    if theirs.headers["content-type"] == "application/json" and theirs.status_code < 500:
        assert error["error_code"] == theirs.json()["error_code"]


def test_an_error_names_the_row_and_does_not_repeat_the_request(both: tuple[str, str]) -> None:
    ours, theirs = (post(url, {"inputs": [*ROWS, {**ROWS[0], "tail": {"start": 9, "end": 999}}]})
                    for url in both)  # fmt: skip
    assert ours.json()["message"].startswith("row 3: tail is [9, 999) of a text of")
    assert "hugo penned" in theirs.text
    assert "hugo penned" not in ours.text


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"text": "secret"}, "row 3: head: field required; tail: field required; give text, head"),
        ({**ROWS[0], "text": None}, "row 3: text: input should be a valid string"),
        ({**ROWS[0], "head": {"start": "1", "end": 3}}, "row 3: head.start: input should be a val"),
        ("secret", "row 3: input should be"),
    ],
)
def test_a_row_of_another_shape_is_named_with_its_fields(
    both: tuple[str, str], bad: Any, message: str
) -> None:
    answer = post(both[0], {"inputs": [*ROWS, bad]})
    assert answer.json()["message"].startswith(message)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "application/vnd.apache.parquet",
        "text/plain",
        "application/json; charset=latin-1",
        "application/json; version=1",
    ],
)
def test_other_content_types_are_refused(both: tuple[str, str], content_type: str) -> None:
    ours, theirs = (post(url, {"inputs": ROWS}, **{"Content-Type": content_type}) for url in both)
    assert 400 <= theirs.status_code < 500
    assert ours.status_code == 415
    assert set(ours.json()) == {"error_code", "message"}


def test_json_may_name_its_charset(both: tuple[str, str]) -> None:
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    ours, theirs = (post(url, {"inputs": ROWS}, **content_type) for url in both)
    assert ours.status_code == theirs.status_code == 200
    assert ours.content == theirs.content


def test_mlflows_own_client_is_content(both: tuple[str, str]) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    clients = [ScoringServerClient("127.0.0.1", url.rsplit(":", 1)[1]) for url in both]
    for client in clients:
        client.ping()
    assert clients[0].get_version() == clients[1].get_version()
    answers = [client.invoke(ROWS, {"top_k": 2}) for client in clients]
    assert answers[0] == answers[1] and len(answers[0]["predictions"]) == 3


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_the_other_routes_answer_as_mlflows(both: tuple[str, str], path: str) -> None:
    ours, theirs = (get(url, path) for url in both)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)


def test_version_as_json_names_the_model(both: tuple[str, str]) -> None:
    import mlflow

    import cfcre

    answer = get(both[0], "/version", Accept="application/json")
    assert answer.json() == {
        "model_version": "1",
        "cfcre": cfcre.__version__,
        "mlflow": mlflow.__version__,
    }
    assert answer.headers[HEADER] == "1"


def test_unknown_addresses_and_methods_are_json_errors(both: tuple[str, str]) -> None:
    ours, theirs = (get(url, "/nope") for url in both)
    assert ours.status_code == theirs.status_code == 404
    assert set(ours.json()) == {"error_code", "message"}
    ours, theirs = (get(url, "/invocations") for url in both)
    assert ours.status_code == theirs.status_code == 405
    assert ours.headers["allow"] == "POST"


def test_the_answer_is_that_of_the_predictor(both: tuple[str, str], session_store: Any) -> None:
    from cfcre.data.schema import RelationExample, Span
    from cfcre.methods.predictor import Predictor

    predictor = Predictor.load(session_store.tracker.state_path("1"))
    examples = [RelationExample(r["text"], Span(**r["head"]), Span(**r["tail"])) for r in ROWS]
    body = post(both[0], {"inputs": ROWS, "params": {"top_k": 4}}).json()
    for answer, best in zip(body["predictions"], predictor.predict(examples, 4), strict=True):
        assert [t["relation"] for t in answer["top"]] == [p.relation for p in best]
        assert [t["score"] for t in answer["top"]] == pytest.approx(
            [p.score for p in best], abs=1e-5
        )


def test_rows_that_were_not_read_whole_are_counted_in_a_header(both: tuple[str, str]) -> None:
    long = ANSWERED["a text longer than the encoder reads"]["inputs"]
    answer = post(both[0], {"inputs": [*ROWS, *long, *long]})
    assert answer.headers["X-Cfcre-Windowed-Rows"] == "2"
    # What is left out is far from the entities: their window is what decides.
    alone = post(both[0], {"inputs": [row("so " * 40 + TEXT + " so" * 40)]}).json()
    assert answer.json()["predictions"][3]["relation"] == alone["predictions"][0]["relation"]
    assert "X-Cfcre-Windowed-Rows" not in post(both[0], {"inputs": ROWS}).headers
