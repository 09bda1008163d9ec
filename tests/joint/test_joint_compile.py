"""The pipeline joint-extraction as Kubeflow reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from cfcre.cli.main import main
from cfcre.config import load_settings

ORDER = [
    "read-documents",
    "train-spans",
    "evaluate-spans",
    "register-spans",
    "register-extractor",
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    out = tmp_path_factory.mktemp("compiled") / "joint.yaml"
    words = ["pipeline", "compile", str(out), "--pipeline", "joint-extraction"]
    assert main([*words, "--home", str(out.parent)]) == 0
    return list(yaml.safe_load_all(out.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def spec(documents: list[Any]) -> Any:
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

    return json_format.ParseDict(documents[0], PipelineSpec())


@pytest.fixture(scope="module")
def pods(documents: list[Any]) -> dict[str, Any]:
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

    platform = documents[1]["platforms"]["kubernetes"]
    return {
        name.removeprefix("exec-"): json_format.ParseDict(pod, KubernetesExecutorConfig())
        for name, pod in platform["deploymentSpec"]["executors"].items()
    }


def test_the_stages_follow_each_other_under_an_exit_handler(spec: Any) -> None:
    assert spec.pipeline_info.name == "joint-extraction"
    assert set(spec.root.input_definitions.parameters) == {"stream", "batch", "settings"}
    settle = spec.root.dag.tasks["settle"].trigger_policy
    assert settle.strategy == settle.ALL_UPSTREAM_TASKS_COMPLETED
    (handler,) = (c for n, c in spec.components.items() if n.startswith("comp-exit-handler"))
    assert "claim" in handler.dag.tasks
    (condition,) = (t for n, t in handler.dag.tasks.items() if n.startswith("condition"))
    waiting = dict(spec.components[condition.component_ref.name].dag.tasks)
    order: list[str] = []
    while waiting:
        ready = [n for n, t in waiting.items() if set(t.dependent_tasks) <= set(order)]
        assert len(ready) == 1, ready
        order += ready
        del waiting[ready[0]]
    assert order == ORDER


def test_training_alone_has_a_gpu(spec: Any, pods: dict[str, Any]) -> None:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    assert sorted(pods) == sorted([*ORDER, "claim", "settle"])
    for name, pod in pods.items():
        resources = executors[f"exec-{name}"]["container"]["resources"]
        assert ("accelerator" in resources) == (name == "train-spans")
        assert bool(pod.node_selector.labels) == (name == "train-spans")
        assert pod.active_deadline_seconds == (86_400 if name == "train-spans" else 3600)
        assert pod.security_context.run_as_non_root is True
        assert {s.secret_name for s in pod.secret_as_env} == {
            "cfcre-ledger",
            "cfcre-s3",
            "cfcre-mlflow-client",
        }
        environment = executors[f"exec-{name}"]["container"]["env"]
        assert {"name": "CFCRE_HOME", "value": "/var/lib/cfcre"} in environment


def test_a_stream_has_the_pipeline_that_learns_it() -> None:
    from cfcre.operations import launch
    from cfcre_pipelines.compile import pipeline_of_stream, pipeline_package

    settings = load_settings(environ={})
    for stream, name in (("news", "continual-learning"), ("news.documents", "joint-extraction")):
        assert pipeline_of_stream(stream) == name
        package = pipeline_package(settings, name)
        assert package["pipeline_spec"]["pipelineInfo"]["name"] == name
        assert launch._pipeline(stream).name == name


def test_resources_for_kubectl(tmp_path: Path) -> None:
    out = tmp_path / "joint.yaml"
    words = ["pipeline", "compile", str(out), "--pipeline", "joint-extraction"]
    assert main([*words, "--kubernetes-manifests", "--home", str(tmp_path)]) == 0
    pipeline, version = yaml.safe_load_all(out.read_text(encoding="utf-8"))
    assert pipeline["metadata"]["name"] == "joint-extraction"
    assert version["spec"]["pipelineName"] == "joint-extraction"


def test_a_trainjob_setting_leaves_the_span_model_its_gpu(tmp_path: Path) -> None:
    """A TrainJob trains relation models; a span model trains in the pod of its task."""
    from cfcre_pipelines.compile import pipeline_package

    settings = load_settings(environ={}, overrides={"pipeline.training": "trainjob"})
    package = pipeline_package(settings, "joint-extraction")
    executors = package["pipeline_spec"]["deploymentSpec"]["executors"]
    assert "accelerator" in executors["exec-train-spans"]["container"]["resources"]
