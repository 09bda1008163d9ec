"""Every object against the schema of its kind: core kinds by a package, others by files.

No kind passes unvalidated: one that has no schema is an error, on every machine.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from k8s_bundle import SCHEMAS, Object, kind_name

# The oldest Kubernetes that docs/kubernetes.md names, the one whose pod security level is pinned,
# and the newest that the package knows.
VERSIONS = ("1.30", "1.32", "1.37")

CORE_GROUPS = {
    "",
    "apps",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
}

CUSTOM_KINDS = {
    ("argoproj.io/v1alpha1", "EventBus"),
    ("argoproj.io/v1alpha1", "EventSource"),
    ("argoproj.io/v1alpha1", "Sensor"),
    ("cert-manager.io/v1", "Certificate"),
    ("external-secrets.io/v1", "ExternalSecret"),
    ("external-secrets.io/v1", "SecretStore"),
    ("keda.sh/v1alpha1", "ScaledJob"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("kueue.x-k8s.io/v1beta1", "ClusterQueue"),
    ("kueue.x-k8s.io/v1beta1", "LocalQueue"),
    ("kueue.x-k8s.io/v1beta1", "ResourceFlavor"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("pipelines.kubeflow.org/v2beta1", "Pipeline"),
    ("pipelines.kubeflow.org/v2beta1", "PipelineVersion"),
    ("serving.kserve.io/v1alpha1", "ServingRuntime"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"),
    ("trainer.kubeflow.org/v1alpha1", "TrainingRuntime"),
}


class NotValid(Exception):
    """The object does not match its schema, or its kind has none."""


def is_core(found: Object) -> bool:
    group, separator, _ = found["apiVersion"].rpartition("/")
    return not separator or group in CORE_GROUPS


def validate_core(found: Object) -> None:
    _validate_core(json.dumps(found, sort_keys=True))


@functools.cache
def _validate_core(text: str) -> None:
    """Most objects are the same in every overlay: each is looked at once."""
    found = json.loads(text)
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.path)
            raise NotValid(f"{kind_name(found)}: {path}: {error.message} ({version})") from None
        except kubernetes_validate.SchemaNotFoundError as error:
            raise NotValid(f"{kind_name(found)}: {error.message}") from None


def check_known(found: Object) -> None:
    """Whether the kind is one that is validated somewhere; also where the files are absent."""
    if not is_core(found) and (found["apiVersion"], found["kind"]) not in CUSTOM_KINDS:
        raise NotValid(f"{kind_name(found)}: no schema for {found['apiVersion']}")


def validate_custom(found: Object) -> None:
    check_known(found)
    validator = _custom_validator(found["apiVersion"], found["kind"])
    for error in validator.iter_errors(found):
        path = ".".join(str(part) for part in error.absolute_path)
        raise NotValid(f"{kind_name(found)}: {path}: {error.message[:300]}")


@functools.cache
def _custom_validator(api_version: str, kind: str) -> jsonschema.protocols.Validator:
    group, _, version = api_version.partition("/")
    schema = _custom_schema(group, version, kind)
    return jsonschema.Draft202012Validator(schema)


def _custom_schema(group: str, version: str, kind: str) -> dict[str, Any]:
    folder = SCHEMAS / group
    plain = folder / f"{kind.lower()}_{version}.json"
    if plain.is_file():
        return _closed(json.loads(plain.read_text()), top=True)
    for file in sorted(folder.glob("*.crd.yaml")):
        for crd in yaml.safe_load_all(file.read_text()):
            if crd and crd["spec"]["names"]["kind"] == kind:
                for offered in crd["spec"]["versions"]:
                    if offered["name"] == version:
                        return _closed(offered["schema"]["openAPIV3Schema"], top=True)
    for file in sorted(folder.glob("*.schema.json")):
        whole = json.loads(file.read_text())
        for name, definition in whole["definitions"].items():
            if name.endswith(f".{version}.{kind}") and name.startswith("io.argoproj"):
                closed = {n: _closed(d) for n, d in whole["definitions"].items()}
                return _closed(definition, top=True) | {"definitions": closed}
    raise NotValid(f"no schema for {group}/{version} {kind} under {folder.name}")


def _closed(schema: Any, *, top: bool = False) -> Any:
    """The schema with unknown fields refused, as the API server's strict validation does."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items() if key != "properties"}
    if isinstance(schema.get("properties"), dict):
        closed["properties"] = {k: _closed(v) for k, v in schema["properties"].items()}
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" not in schema and not open_ended:
            closed["additionalProperties"] = False
    if top:
        closed["properties"]["metadata"] = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
                "generateName": {"type": "string"},
                "namespace": {"type": "string"},
                "labels": {"additionalProperties": {"type": "string"}},
                "annotations": {"additionalProperties": {"type": "string"}},
            },
            "additionalProperties": False,
        }
        closed["required"] = sorted({*closed.get("required", []), "spec", "metadata"})
    return closed
