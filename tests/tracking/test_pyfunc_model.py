"""The registered model as MLflow loads and serves it, against the library's own predictor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tracking_cases import evaluation, facts, free_port, serving

from cfcre.config import Settings
from cfcre.data.schema import RelationExample, Span
from cfcre.methods.predictor import Predictor
from cfcre.tracking.client import Tracker
from cfcre.tracking.packaging import INPUT_EXAMPLE, pinned_requirements

TEXTS = [
    "Ada was born in London.",
    "Ada <b>works</b> for [E11] the city.",
    "Ada \N{GRINNING FACE} 生于 London, שלום.",
]
LOAD = """
import json, sys
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
rows, params = json.loads(sys.stdin.read())
answers = model.predict(rows, params=params)
print(json.dumps([a.model_dump() for a in answers]))
"""


def queries() -> list[dict[str, Any]]:
    return [
        {
            "text": text,
            "head": {"start": 0, "end": 3},
            "tail": {"start": len(text) - 5, "end": len(text) - 1},
        }
        for text in TEXTS
    ]


def expected(state: Path, top_k: int) -> list[dict[str, Any]]:
    examples = [RelationExample(q["text"], Span(**q["head"]), Span(**q["tail"])) for q in queries()]
    return [
        {"relation": best[0].relation, "top": [(p.relation, p.score, p.probability) for p in best]}
        for best in Predictor.load(state).predict(examples, top_k=top_k)
    ]


def assert_same(answers: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [a["relation"] for a in answers] == [w["relation"] for w in wanted]
    for answer, want in zip(answers, wanted, strict=True):
        assert [t["relation"] for t in answer["top"]] == [t[0] for t in want["top"]]
        assert [t["score"] for t in answer["top"]] == pytest.approx(
            [t[1] for t in want["top"]], abs=1e-5
        )
        assert [t["probability"] for t in answer["top"]] == pytest.approx(
            [t[2] for t in want["top"]], abs=1e-5
        )
        assert answer["score"] == answer["top"][0]["score"]


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        # MLflow starts its scoring server by the name uvicorn.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def champion(settings: Settings, state_dir: Path) -> Tracker:
    tracker = Tracker(settings)
    run_id = tracker.open_run("news-2")
    tracker.set_alias("champion", tracker.register(run_id, state_dir, evaluation(), facts()))
    return tracker


def test_it_loads_with_pickle_refused_and_answers_as_the_predictor(
    settings: Settings, champion: Tracker, state_dir: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "models:/cfcre@champion"],
        input=json.dumps([queries(), {"top_k": 3}]),
        capture_output=True,
        text=True,
        env=environment(settings),
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert_same(answers, expected(state_dir, 3))
    assert all(len(a["top"]) == 3 for a in answers)


def test_what_mlflow_reads_from_the_folder(champion: Tracker) -> None:
    from mlflow.models import Model

    folder = str(champion.state_path("1").parents[1])
    model = Model.load(folder)
    assert model.signature is not None
    assert model.signature.inputs is not None
    row = model.signature.inputs.to_dict()[0]
    assert set(row["properties"]) == {"text", "head", "tail"}
    assert [p.name for p in model.signature.params or []] == ["top_k"]
    assert model.load_input_example(folder) == INPUT_EXAMPLE
    serving_input = model.get_serving_input(folder)
    assert serving_input is not None
    assert json.loads(serving_input) == {"inputs": INPUT_EXAMPLE}
    head, tail = (INPUT_EXAMPLE[0][side] for side in ("head", "tail"))
    text = INPUT_EXAMPLE[0]["text"]
    assert text[head["start"] : head["end"]] == "Ada Lovelace"
    assert text[tail["start"] : tail["end"]] == "London"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": {"start": -1, "end": 3}}, "row 1: head"),
        ({"tail": {"start": 4, "end": 4}}, "row 1: tail"),
        ({"tail": {"start": 4, "end": 999}}, "row 1: tail"),
        ({"tail": {"start": 2, "end": 6}}, "row 1: head and tail overlap"),
    ],
)
def test_a_bad_row_is_the_callers_fault(
    champion: Tracker, state_dir: Path, change: dict[str, Any], message: str
) -> None:
    from types import SimpleNamespace

    from mlflow.exceptions import MlflowException

    from cfcre.tracking.pyfunc_model import CfcreModel, RelationQuery

    model = CfcreModel()
    model.load_context(SimpleNamespace(artifacts={"state": str(state_dir)}))
    rows = [RelationQuery(**queries()[0]), RelationQuery(**{**queries()[0], **change})]
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(rows)
    assert caught.value.get_http_status_code() == 400
    with pytest.raises(MlflowException, match="top_k is 0"):
        model.predict(rows[:1], {"top_k": 0})


def test_requirements_are_pinned_to_what_is_installed() -> None:
    from importlib import metadata

    pins = dict(line.split("==") for line in pinned_requirements())
    assert pins["mlflow"] == metadata.version("mlflow")
    assert "+" not in pins["torch"]
    assert metadata.version("torch").startswith(pins["torch"])


def post(url: str, body: Any) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
@pytest.mark.server
def test_mlflow_serves_the_champion(
    settings: Settings, champion: Tracker, state_dir: Path, tmp_path: Path
) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/cfcre@champion"]
    argv += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--workers", "1"]
    url = f"http://127.0.0.1:{port}"
    with serving(argv, environment(settings), f"{url}/ping", tmp_path / "log.txt", 240):
        status, body = post(f"{url}/invocations", {"inputs": queries(), "params": {"top_k": 2}})
        assert status == 200, body
        assert_same(body["predictions"], expected(state_dir, 2))
        status, body = post(f"{url}/invocations", {"inputs": queries()})
        assert status == 200, body
        assert_same(body["predictions"], expected(state_dir, 1))
        bad = {**queries()[0], "head": {"start": 0, "end": 999}}
        status, body = post(f"{url}/invocations", {"inputs": [bad]})
        assert status == 400
        assert "row 0: head" in json.dumps(body)
        status, body = post(f"{url}/invocations", {"inputs": [{"text": "no spans"}]})
        assert status == 400
