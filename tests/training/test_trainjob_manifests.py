"""TrainJob, runtime and rights: against the resources' own schemas, and the pods' security."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cfcre.config import load_settings
from cfcre.operations.training.trainjob_manifest import job_name, train_job

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "k8s/examples/trainjob"
SCHEMAS = ROOT.parent / "shared/schemas/trainer.kubeflow.org"
RUN = "news-003-1dfa40f6-1"


def documents(*names: str) -> list[dict[str, Any]]:
    return [d for name in names for d in yaml.safe_load_all((EXAMPLES / name).read_text()) if d]


def example() -> dict[str, Any]:
    settings = load_settings(home="x", overrides={"pipeline.training": "trainjob"}, environ={})
    name = job_name("train_task", RUN, 7)
    notes = {"cfcre.io/run": RUN, "cfcre.io/stream": "news", "cfcre.io/step": "train_task"}
    return train_job(name, f"jobs/{name}", "0" * 64, settings, annotations=notes, environ={})


def schema_of(file: str) -> dict[str, Any]:
    if not SCHEMAS.is_dir():
        pytest.skip("the schemas ../shared/schemas are not on this machine")
    definition = yaml.safe_load((SCHEMAS / file).read_text())
    (version,) = (v for v in definition["spec"]["versions"] if v["name"] == "v1alpha1")
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def check(schema: dict[str, Any], value: Any) -> None:
    """Validate, and refuse fields that the API server would drop without a word."""
    import jsonschema

    jsonschema.Draft202012Validator(schema).validate(value)
    unknown = list(_unknown(schema, value, ""))
    assert not unknown, unknown


def _unknown(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            if key in schema["properties"]:
                yield from _unknown(schema["properties"][key], item, f"{where}.{key}")
            elif "additionalProperties" not in schema:
                yield f"{where}.{key}"
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(schema.get("items", {}), item, f"{where}[]")


@pytest.mark.shared
def test_the_trainjob_is_what_the_resource_definition_says() -> None:
    schema, job = schema_of("trainjobs.crd.yaml"), example()
    # The definition says nothing about metadata.
    check(schema, {k: v for k, v in job.items() if k != "metadata"})
    wrong = copy.deepcopy(job)
    wrong["spec"]["trainer"]["numProcsPerNode"] = 2
    with pytest.raises(AssertionError, match="numProcsPerNode"):
        check(schema, {k: v for k, v in wrong.items() if k != "metadata"})


@pytest.mark.shared
def test_the_runtime_is_what_the_resource_definition_says() -> None:
    (runtime,) = documents("runtime.yaml")
    schema = schema_of("trainingruntimes.crd.yaml")
    check(schema, {k: v for k, v in runtime.items() if k != "metadata"})


def test_the_example_is_what_is_created_and_fits_the_runtime() -> None:
    job, (runtime,) = example(), documents("runtime.yaml")
    assert documents("trainjob.yaml") == [job]
    reference = job["spec"]["runtimeRef"]
    assert (reference["kind"], reference["name"]) == (runtime["kind"], runtime["metadata"]["name"])
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cfcre-training"
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    step = replicated["template"]["metadata"]["labels"]
    assert step["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    labels = replicated["template"]["spec"]["template"]["metadata"]["labels"]
    (policy,) = documents("network.yaml")
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= labels.items()


@pytest.mark.parametrize("namespace", ["cfcre", "another", None])
def test_the_pod_that_waits_owns_the_trainjob_in_its_own_namespace_only(
    namespace: str | None, tmp_path: Path
) -> None:
    settings = load_settings(home="x", environ={})
    file = tmp_path / "namespace"
    if namespace is not None:
        file.write_text(namespace)
    job = train_job(
        "n",
        "jobs/n",
        "0",
        settings,
        annotations={},
        environ={"KFP_POD_NAME": "run-x", "KFP_POD_UID": "u-1"},
        namespace_file=file,
    )
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "run-x", "uid": "u-1"}
    expected = [owner] if namespace == "cfcre" else None
    assert job["metadata"].get("ownerReferences") == expected


def test_without_gpu_and_queue_none_is_asked_for() -> None:
    settings = load_settings(
        home="x", overrides={"pipeline.gpu_count": 0, "trainjob.queue": ""}, environ={}
    )
    job = train_job("n", "jobs/n", "0", settings, annotations={}, environ={})
    for asked in job["spec"]["trainer"]["resourcesPerNode"].values():
        assert set(asked) == {"cpu", "memory", "ephemeral-storage"}
    assert not [label for label in job["metadata"]["labels"] if "kueue" in label]


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True), st.integers(1, 10**9))
def test_names_are_dns_labels_and_differ_by_token(run: str, token: int) -> None:
    names = [job_name("train_task", run, t) for t in (token, token + 1)]
    assert names[0] != names[1] != job_name("consolidate", run, token)
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", n) and len(n) <= 41 for n in names)
    assert names[0] == job_name("train_task", run, token)


def test_the_rights_are_those_that_are_used() -> None:
    rules = next(d for d in documents("access.yaml") if d["kind"] == "Role")["rules"]
    granted = {(r, v) for rule in rules for r in rule["resources"] for v in rule["verbs"]}
    source = (ROOT / "cfcre/operations/training/trainjob_client.py").read_text()
    used = set(re.findall(r"self\._(?:objects|core)\.([a-z]+)_namespaced_(\w+)\(", source))
    kinds = {"custom_object": "trainjobs", "pod": "pods"}
    assert granted == {(kinds[kind], verb) for verb, kind in used}


def restricted(pod: dict[str, Any]) -> list[str]:
    """What of the restricted pod security level, and of this project's own rules, is not kept."""
    own, found = pod.get("securityContext", {}), []
    if own.get("runAsNonRoot") is not True or own.get("runAsUser") != 10001:
        found.append("non-root user 10001")
    if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccomp")
    if pod.get("automountServiceAccountToken") is not False:
        found.append("no token")
    for container in pod["containers"]:
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            found.append("no privilege escalation")
        if context.get("readOnlyRootFilesystem") is not True:
            found.append("read-only root")
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append("no capabilities")
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})):
            found.append("requests")
        if "memory" not in resources.get("limits", {}):
            found.append("limits")
    return found


def test_training_pods_are_restricted_and_the_test_can_fail() -> None:
    (runtime,) = documents("runtime.yaml")
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert restricted(pod) == []
    for change in (
        lambda p: p["securityContext"].pop("runAsNonRoot"),
        lambda p: p["securityContext"].pop("seccompProfile"),
        lambda p: p.pop("automountServiceAccountToken"),
        lambda p: p["containers"][0]["securityContext"].pop("capabilities"),
        lambda p: p["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
        lambda p: p["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        lambda p: p["containers"][0].pop("resources"),
    ):
        weaker = copy.deepcopy(pod)
        change(weaker)
        assert restricted(weaker)


def test_kustomize_renders_the_example() -> None:
    tool = shutil.which("kubectl") or shutil.which("kustomize")
    if tool is None:
        pytest.skip("neither kubectl nor kustomize is on this machine")
    command = [tool, "kustomize"] if tool.endswith("kubectl") else [tool, "build"]
    done = subprocess.run([*command, str(EXAMPLES)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rendered = [d for d in yaml.safe_load_all(done.stdout) if d]
    kinds = ["NetworkPolicy", "Role", "RoleBinding", "ServiceAccount", "TrainingRuntime"]
    assert sorted(d["kind"] for d in rendered) == kinds
    assert {d["metadata"]["namespace"] for d in rendered} == {"cfcre"}
    core = [d for d in rendered if d["kind"] != "TrainingRuntime"]
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate, which has the core schemas, is absent"
    )
    for document in core:
        validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize(("training", "gpus"), [("pod", 2), ("trainjob", 0)])
def test_the_component_asks_for_gpus_only_where_it_trains_itself(
    training: str, gpus: int, tmp_path: Path
) -> None:
    from cfcre_pipelines.compile import compile_pipeline

    settings = load_settings(
        home=tmp_path,
        overrides={"pipeline.training": training, "pipeline.gpu_count": 2},
        environ={},
    )
    text = compile_pipeline(tmp_path / "p.yaml", settings).read_text()
    executors = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"]
    training_pods = [executors[f"exec-{name}"] for name in ("train-task", "consolidate")]
    found = [
        int(e["container"]["resources"].get("accelerator", {}).get("resourceCount", 0))
        for e in training_pods
    ]
    assert found == [gpus, gpus]
