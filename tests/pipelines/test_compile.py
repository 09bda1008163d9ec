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
EVERY = [*STAGES, "settle"]
CONNECTIONS = {
    ("cfcre-connections", "CFCRE_STORE"): "CFCRE_STORE",
    ("cfcre-connections", "CFCRE_STORE_ENDPOINT"): "CFCRE_STORE_ENDPOINT",
    ("cfcre-connections", "MLFLOW_TRACKING_URI"): "MLFLOW_TRACKING_URI",
}
SECRETS = {
    ("cfcre-ledger", "url"): "CFCRE_LEDGER",
    ("cfcre-s3", "AWS_ACCESS_KEY_ID"): "AWS_ACCESS_KEY_ID",
    ("cfcre-s3", "AWS_SECRET_ACCESS_KEY"): "AWS_SECRET_ACCESS_KEY",
    ("cfcre-mlflow-client", "username"): "MLFLOW_TRACKING_USERNAME",
    ("cfcre-mlflow-client", "password"): "MLFLOW_TRACKING_PASSWORD",
}


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


@pytest.fixture(scope="module")
def pods(documents: list[Any]) -> dict[str, Any]:
    """What kfp-kubernetes says about the pod of each task, read back by its own message."""
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

    platform = documents[1]["platforms"]["kubernetes"]
    return {
        name.removeprefix("exec-"): json_format.ParseDict(pod, KubernetesExecutorConfig())
        for name, pod in platform["deploymentSpec"]["executors"].items()
    }


def tasks_of(spec: Any) -> dict[str, Any]:
    handler, _, dag = body(spec)
    return {
        **dag.tasks,
        "claim": handler.tasks["claim"],
        "settle": spec.root.dag.tasks["settle"],
    }


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


def test_only_training_asks_for_a_gpu(spec: Any, pods: dict[str, Any]) -> None:
    assert sorted(pods) == sorted(EVERY), "every task has a pod of its own"
    for name in EVERY:
        accelerator = executor(spec, name).get("resources", {}).get("accelerator")
        selector, tolerations = dict(pods[name].node_selector.labels), pods[name].tolerations
        if name not in TRAINING:
            assert (accelerator, selector, list(tolerations)) == (None, {}, [])
            continue
        assert accelerator["resourceType"] == "nvidia.com/gpu"
        assert accelerator["resourceCount"] == "1"
        assert selector == {"nvidia.com/gpu.present": "true"}
        (toleration,) = tolerations
        assert (toleration.key, toleration.operator, toleration.effect) == (
            "nvidia.com/gpu",
            "Exists",
            "NoSchedule",
        )


@pytest.mark.parametrize("name", EVERY)
class TestEveryTask:
    def test_it_never_runs_as_root(self, pods: dict[str, Any], name: str) -> None:
        context = pods[name].security_context
        assert (context.run_as_user, context.run_as_group) == (10001, 10001)
        assert context.run_as_non_root is True

    def test_it_ends(self, pods: dict[str, Any], name: str) -> None:
        longest = 86_400 if name in TRAINING else 3600
        assert pods[name].active_deadline_seconds == longest

    def test_a_pod_that_broke_down_is_started_again(self, spec: Any, name: str) -> None:
        policy = tasks_of(spec)[name].retry_policy
        assert policy.max_retry_count == 2
        assert (policy.backoff_duration.seconds, policy.backoff_factor) == (30, 2.0)
        # The time in which it may be started again, not a pause: every try may last to its end.
        longest = 86_400 if name in TRAINING else 3600
        assert policy.backoff_max_duration.seconds == 3 * longest + 30 + 60

    def test_it_asks_for_memory_and_processors(self, spec: Any, name: str) -> None:
        resources = executor(spec, name)["resources"]
        assert resources["resourceMemoryRequest"].endswith("Gi")
        assert int(resources["resourceCpuRequest"]) >= 1
        if name in TRAINING:
            assert resources["resourceMemoryRequest"] == "8Gi"

    def test_it_writes_to_volumes_of_a_bounded_size(self, pods: dict[str, Any], name: str) -> None:
        size = "20Gi" if name in TRAINING else "5Gi"
        mounts = {m.mount_path: (m.volume_name, m.size_limit) for m in pods[name].empty_dir_mounts}
        assert mounts == {
            "/var/lib/cfcre": ("cfcre-home", size),
            "/tmp": ("cfcre-tmp", size),
        }

    def test_its_environment_leads_there(self, spec: Any, name: str) -> None:
        variables = {item["name"]: item["value"] for item in executor(spec, name)["env"]}
        assert variables["CFCRE_HOME"] == variables["HOME"] == "/var/lib/cfcre"
        assert variables["TMPDIR"] == "/tmp"
        assert not [k for k in variables if "PASSWORD" in k or "SECRET" in k or "KEY" in k]

    def test_connections_and_secrets_come_from_the_cluster(
        self, pods: dict[str, Any], name: str
    ) -> None:
        pod = pods[name]
        secrets = {
            (secret.secret_name, key.secret_key): key.env_var
            for secret in pod.secret_as_env
            for key in secret.key_to_env
        }
        assert secrets == SECRETS
        assert not any(secret.optional for secret in pod.secret_as_env)
        maps = {
            (m.config_map_name, key.config_map_key): (key.env_var, m.optional)
            for m in pod.config_map_as_env
            for key in m.key_to_env
        }
        assert {key: variable for key, (variable, _) in maps.items()} == CONNECTIONS
        optional = {variable for variable, may_be_missing in maps.values() if may_be_missing}
        assert optional == {"CFCRE_STORE_ENDPOINT"}

    def test_it_is_never_answered_from_a_cache(self, spec: Any, name: str) -> None:
        assert tasks_of(spec)[name].caching_options.enable_cache is False


def test_the_run_ends_even_where_nothing_schedules_its_pods(documents: list[Any]) -> None:
    config = documents[1]["platforms"]["kubernetes"]["pipelineConfig"]
    assert config == {"activeDeadlineSeconds": 259_200}


def test_results_have_kubeflows_own_types(spec: Any) -> None:
    def outputs(name: str) -> dict[str, str]:
        artifacts = spec.components[f"comp-{name}"].output_definitions.artifacts
        return {key: a.artifact_type.schema_title for key, a in artifacts.items()}

    assert outputs("validate")["docs"] == "system.HTML"
    assert outputs("validate")["metrics"] == "system.Metrics"
    assert outputs("evaluate")["report"] == "system.HTML"
    assert outputs("evaluate")["accuracy"] == "system.Markdown"
    assert outputs("evaluate")["confusion"] == "system.ClassificationMetrics"
    assert outputs("evaluate")["metrics"] == "system.Metrics"
    for name in TRAINING:
        assert outputs(name)["metrics"] == "system.Metrics"


def test_on_one_machine_nothing_of_a_cluster_is_set() -> None:
    """kfp.local would give a container's variables, its home above all, to the processes here."""
    from cfcre_pipelines.continual_learning import continual_learning

    spec = json_format.MessageToDict(continual_learning.pipeline_spec)
    for executor in spec["deploymentSpec"]["executors"].values():
        assert "env" not in executor["container"]
    assert json_format.MessageToDict(continual_learning.platform_spec) == {}


def test_a_run_gets_what_the_compiled_file_holds(documents: list[Any]) -> None:
    from cfcre.config import load_settings
    from cfcre_pipelines.compile import pipeline_package

    package = pipeline_package(load_settings(environ={}))
    assert package == {"pipeline_spec": documents[0], "platform_spec": documents[1]}


def test_nothing_is_installed_at_run_time(spec: Any) -> None:
    for name in [*STAGES, "settle"]:
        container = executor(spec, name)
        assert container["image"] == PipelineSettings().image
        assert "pip install" not in " ".join(container["command"])


def test_settings_reach_the_compiled_file(tmp_path: Path) -> None:
    out = tmp_path / "other.yaml"
    wanted = {
        "pipeline.image": "registry.example/python:1",
        "pipeline.gpu_count": "0",
        "pipeline.run_as_user": "2000",
        "pipeline.train_storage": "100Gi",
        "pipeline.train_storage_class": "fast",
        "pipeline.train_memory": "64Gi",
        "pipeline.train_timeout_seconds": "7200",
        "pipeline.pod_retries": "5",
        "kubeflow.ledger_secret": "our-ledger",
        "kubeflow.s3_secret": "null",
        "kubeflow.mlflow_secret": "null",
    }
    options = [word for key, value in wanted.items() for word in ("--set", f"{key}={value}")]
    assert main(["pipeline", "compile", str(out), "--home", str(tmp_path), *options]) == 0
    spec, platform = yaml.safe_load_all(out.read_text(encoding="utf-8"))
    text = yaml.safe_dump(spec)
    assert "registry.example/python:1" in text
    assert PipelineSettings().image not in text
    assert "accelerator" not in text
    assert "maxRetryCount: 5" in text
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train-task"]
    assert pod["securityContext"]["runAsUser"] == "2000"
    assert pod["activeDeadlineSeconds"] == "7200"
    (volume,) = pod["genericEphemeralVolume"]
    assert (volume["size"], volume["storageClassName"]) == ("100Gi", "fast")
    assert volume["mountPath"] == "/var/lib/cfcre"
    assert [secret["secretName"] for secret in pod["secretAsEnv"]] == ["our-ledger"]


@pytest.mark.parametrize(
    "setting",
    ["pipeline.run_as_user=0", "pipeline.train_storage=lots", "kubeflow.host=http://a:b@c"],
)
def test_settings_that_no_cluster_should_get(
    setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pipeline", "compile", str(tmp_path / "x.yaml"), "--set", setting]
    assert main([*words, "--home", str(tmp_path)]) == 2
    assert setting.split("=")[0] in capsys.readouterr().err


def test_a_name_that_kubeflow_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipeline", "compile", str(tmp_path / "out.txt"), "--home", str(tmp_path)]) == 2
    assert ".yaml" in capsys.readouterr().err
