"""The compiled pipeline, read back as Kubeflow reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from cfcre.cli.main import main
from cfcre.config import PipelineSettings

STAGES = [
    "claim",
    "ingest",
    "validate",
    "augment",
    "train-task",
    "select-memory",
    "consolidate",
    "evaluate",
    "register",
]
TRAINING = {"train-task", "consolidate"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    home = out.parent / "home"
    assert main(["pipeline", "compile", str(out), "--home", str(home)]) == 0
    return out


@pytest.fixture(scope="module")
def documents(compiled: Path) -> list[Any]:
    return list(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def spec(documents: list[Any]) -> Any:
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

    return json_format.ParseDict(documents[0], PipelineSpec())


def executor(spec: Any, name: str) -> Any:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    return executors[f"exec-{name}"]["container"]


def body(spec: Any) -> Any:
    """The DAG of the stages under the condition."""
    (handler,) = (c for n, c in spec.components.items() if n.startswith("comp-exit-handler"))
    (condition,) = (t for n, t in handler.dag.tasks.items() if n.startswith("condition"))
    return handler.dag, condition, spec.components[condition.component_ref.name].dag


def test_parameters_hold_no_connection(spec: Any) -> None:
    assert set(spec.root.input_definitions.parameters) == {"stream", "batch", "settings"}
    assert spec.pipeline_info.name == "continual-learning"


def test_each_stage_follows_the_one_before(spec: Any) -> None:
    handler, _, dag = body(spec)
    assert set(handler.tasks) == {"claim", "condition-2"}
    order: list[str] = []
    waiting = dict(dag.tasks)
    while waiting:
        ready = [n for n, t in waiting.items() if set(t.dependent_tasks) <= set(order)]
        # One after the other: no two stages could run at the same time.
        assert len(ready) == 1, ready
        order += ready
        del waiting[ready[0]]
    assert order == STAGES[1:]


def test_nothing_to_do_skips_the_body(spec: Any) -> None:
    _, condition, _ = body(spec)
    assert condition.dependent_tasks == ["claim"]
    assert "== true" in condition.trigger_policy.condition


def test_settle_is_the_exit_handler(spec: Any) -> None:
    settle = spec.root.dag.tasks["settle"]
    policy = settle.trigger_policy
    assert policy.strategy == policy.ALL_UPSTREAM_TASKS_COMPLETED
    assert settle.inputs.parameters["status"].HasField("task_final_status")
    # Claim and settle are told the same run, or settle would not find the claim.
    handler, _, _ = body(spec)
    told = [task.inputs.parameters["run"] for task in (settle, handler.tasks["claim"])]
    assert all("pipeline_job_uuid" in str(value) for value in told)


def test_only_training_asks_for_a_gpu(spec: Any, documents: list[Any]) -> None:
    for name in [*STAGES, "settle"]:
        accelerator = executor(spec, name).get("resources", {}).get("accelerator")
        if name in TRAINING:
            assert accelerator["resourceType"] == "nvidia.com/gpu"
            assert accelerator["resourceCount"] == "1"
        else:
            assert accelerator is None
    placed = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(placed) == {f"exec-{name}" for name in TRAINING}
    for place in placed.values():
        assert place["nodeSelector"]["labels"] == {"nvidia.com/gpu.present": "true"}
        assert place["tolerations"] == [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]


def test_no_task_may_be_answered_from_a_cache(spec: Any) -> None:
    handler, _, dag = body(spec)
    tasks = [*dag.tasks.values(), handler.tasks["claim"], spec.root.dag.tasks["settle"]]
    assert len(tasks) == len(STAGES) + 1
    assert not any(task.caching_options.enable_cache for task in tasks)


def test_nothing_is_installed_at_run_time(spec: Any) -> None:
    for name in [*STAGES, "settle"]:
        container = executor(spec, name)
        assert container["image"] == PipelineSettings().image
        assert "pip install" not in " ".join(container["command"])


def test_settings_reach_the_compiled_file(tmp_path: Path) -> None:
    out = tmp_path / "other.yaml"
    options = ["--set", "pipeline.image=registry.example/python:1", "--set", "pipeline.gpu_count=0"]
    assert main(["pipeline", "compile", str(out), "--home", str(tmp_path), *options]) == 0
    documents = [d for d in yaml.safe_load_all(out.read_text(encoding="utf-8")) if d]
    text = yaml.safe_dump(documents[0])
    assert "registry.example/python:1" in text
    assert PipelineSettings().image not in text
    assert "accelerator" not in text
    assert len(documents) == 1, "without a GPU there is nothing to place"


def test_a_name_that_kubeflow_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipeline", "compile", str(tmp_path / "out.txt"), "--home", str(tmp_path)]) == 2
    assert ".yaml" in capsys.readouterr().err
