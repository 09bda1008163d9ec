"""The protocol, against MLflow's own scoring server: the same requests get the same answers."""

from __future__ import annotations

import json
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
    "numbers as text": {"inputs": [{**ROWS[0], "head": {"start": "9", "end": "12"}}]},
    "a text longer than the encoder reads": {"inputs": [row("so " * 500 + TEXT + " so" * 500)]},
    "NUL, markers and other scripts": {"inputs": [ROWS[2], row("[SEP] ada [CLS] riga", "ada", "riga")]},
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
    "top_k huge": {"inputs": ROWS, "params": {"top_k": 10**30}},
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


@pytest.mark.parametrize("name", REFUSED)
def test_what_mlflow_refuses_is_refused(both: tuple[str, str], name: str) -> None:
    ours, theirs = (post(url, REFUSED[name]) for url in both)
    print(theirs.status_code, theirs.text[:300]); print(ours.status_code, ours.text)
    assert theirs.status_code >= 400
    assert 400 <= ours.status_code < 500
