"""Secrets, permissions, and the bounds of jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s_bundle import Bundle, kind_name, walk
from k8s_rules_pods import OUR_IMAGES, image_name
from k8s_rules_references import selects, version_of

_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|AUTH_KEY|CREDENTIAL|PRIVATE", re.I)
_LOGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@")
_LITERAL = re.compile(
    r"(?i)\b(password|secret|token|access_key|secret_key)\s*[=:]\s*['\"]?[\w+/-]{6,}"
)
_EXPANSIONS = re.compile(r'(\$\([A-Z_]+\)|[,:"])+')
# Labelled so that they are recognised: files made by the user for development.
_GENERATED = {"dev"}


def no_secret_literal(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        for container in pod.containers():
            for variable in container.get("env") or ():
                value = variable.get("value")
                hidden = value is None or _EXPANSIONS.fullmatch(str(value))
                if _SECRET_NAME.search(variable["name"]) and not hidden:
                    yield f"{pod.where}: {variable['name']} has a literal value"
            for text in _texts(container):
                if _LOGIN.search(text) or _LITERAL.search(text):
                    yield f"{pod.where}, container {container['name']}: a password in {text[:20]}…"
    for found in bundle.of("ConfigMap"):
        for key, text in (found.get("data") or {}).items():
            named = _SECRET_NAME.search(key) and not key.endswith(".py")
            if named or _LOGIN.search(text) or (_LITERAL.search(text) and not key.endswith(".py")):
                yield f"{kind_name(found)}: {key} looks like a secret"
    if bundle.name.split("-")[0] not in _GENERATED:
        for found in bundle.of("Secret"):
            yield f"{kind_name(found)}: a secret in the manifests"


def _texts(container: dict[str, Any]) -> Iterator[str]:
    yield from (str(word) for word in container.get("command") or ())
    yield from (str(word) for word in container.get("args") or ())
    for variable in container.get("env") or ():
        yield str(variable.get("value") or "")


def least_privilege(bundle: Bundle) -> Iterator[str]:
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        for found in bundle.of(kind):
            yield f"{kind_name(found)}: rights in the whole cluster"
    for role in bundle.of("Role"):
        for rule in role["rules"]:
            if "*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]:
                yield f"{kind_name(role)}: a wildcard"
            named = rule.get("resourceNames") and rule["verbs"] == ["get"]
            if "secrets" in rule["resources"] and not named:
                yield f"{kind_name(role)}: secrets that are not named"
            for risky in ("pods/exec", "roles", "rolebindings", "serviceaccounts/token"):
                if risky in rule["resources"]:
                    yield f"{kind_name(role)}: {risky}"
    for binding in bundle.of("RoleBinding"):
        reference = binding["roleRef"]
        if reference["kind"] != "Role" or not bundle.get("Role", reference["name"]):
            yield f"{kind_name(binding)}: its Role is not there"
        for subject in binding["subjects"]:
            if subject["kind"] != "ServiceAccount" or not bundle.get(
                "ServiceAccount", subject["name"]
            ):
                yield f"{kind_name(binding)}: {subject['kind']} {subject['name']} is not there"


def jobs_are_bounded(bundle: Bundle) -> Iterator[str]:
    for found in bundle.of("CronJob"):
        spec = found["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{kind_name(found)}: concurrencyPolicy is not Forbid"
        for key in (
            "startingDeadlineSeconds",
            "successfulJobsHistoryLimit",
            "failedJobsHistoryLimit",
            "timeZone",
        ):
            if key not in spec:
                yield f"{kind_name(found)}: no {key}"
    templates = [(kind_name(j), j["spec"]) for j in bundle.of("Job")]
    templates += [(kind_name(c), c["spec"]["jobTemplate"]["spec"]) for c in bundle.of("CronJob")]
    for where, spec in templates:
        for key in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
            if key not in spec:
                yield f"{where}: no {key}"
        if spec["template"]["spec"].get("restartPolicy") != "Never":
            yield f"{where}: restartPolicy is not Never, so the log of a failure is lost"


def jobs_carry_the_release(bundle: Bundle) -> Iterator[str]:
    """A Job cannot be changed: another image needs another name."""
    for job in bundle.of("Job"):
        for container in job["spec"]["template"]["spec"]["containers"]:
            suffix = "-" + version_of(container.get("image") or "").replace(".", "-")
            if not job["metadata"]["name"].endswith(suffix):
                yield f"{kind_name(job)}: its name does not end in {suffix}"


def one_release(bundle: Bundle) -> Iterator[str]:
    images = {
        container.get("image")
        for pod in bundle.pods()
        for container in pod.containers()
        if image_name(container) in OUR_IMAGES
    }
    for found in bundle.of("ConfigMap"):
        for _, text in walk(found.get("data") or {}):
            if isinstance(text, str):
                images |= set(re.findall(r"^\s*image:\s*(ghcr\.io/cfcre/\S+)", text, flags=re.M))
    versions = {version_of(image or "") for image in images}
    if len(versions) > 1:
        yield f"images of several releases: {sorted(map(str, images))}"


def more_than_one_is_spread(bundle: Bundle) -> Iterator[str]:
    floors = {
        s["spec"]["scaleTargetRef"]["name"]: s["spec"].get(
            "minReplicas", s["spec"].get("minReplicaCount", 1)
        )
        for s in bundle.of("HorizontalPodAutoscaler", "ScaledObject")
    }
    for pod in bundle.pods():
        replicas = floors.get(pod.where.split("/")[1], pod.replicas)
        if not pod.long_running or replicas < 2:
            continue
        keys = {s["topologyKey"] for s in pod.spec.get("topologySpreadConstraints") or ()}
        if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= keys:
            yield f"{pod.where}: {replicas} replicas are not spread over nodes and zones"
        if not any(
            selects(budget["spec"].get("selector"), pod.labels)
            for budget in bundle.of("PodDisruptionBudget")
        ):
            yield f"{pod.where}: {replicas} replicas and no PodDisruptionBudget"
        if "priorityClassName" not in pod.spec:
            yield f"{pod.where}: no priorityClassName"


def mlflow_is_closed(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        for container in pod.containers():
            command = container.get("command") or []
            if image_name(container) != OUR_IMAGES[1] or not container.get("ports"):
                continue
            given = container.get("args") or []
            # The entry point of the image switches authentication on, mlflow itself does not.
            other_app = any(word.startswith("--app-name") for word in given)
            if command != ["/opt/mlflow/entrypoint.sh", "serve"] or other_app:
                yield f"{pod.where}: MLflow's authentication is off"
            if "--serve-artifacts" not in given or not any(
                word.startswith("--artifacts-destination=") for word in given
            ):
                yield f"{pod.where}: artifacts do not go through the server"
            allowed = [w.partition("=")[2] for w in given if w.startswith("--allowed-hosts=")]
            variables: dict[str, str] = {}
            for whole in container.get("envFrom") or ():
                source = bundle.get("ConfigMap", whole["configMapRef"]["name"])
                variables |= (source or {}).get("data") or {}
            hosts = "".join(allowed)
            for name, value in variables.items():
                hosts = hosts.replace(f"$({name})", value)
            if not hosts or "*" in hosts:
                yield f"{pod.where}: any Host header is answered"
            names = {v["name"] for v in container.get("env") or () if "valueFrom" in v}
            for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
                if name not in names:
                    yield f"{pod.where}: {name} does not come from a secret"
            if any(word.startswith("--disable-security") for word in given):
                yield f"{pod.where}: MLflow's own checks are off"
