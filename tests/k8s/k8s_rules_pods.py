"""What must hold for every pod, whatever makes it. Each rule yields the problems it finds."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from k8s_bundle import Bundle, Pod, walk

OUR_IMAGES = ("ghcr.io/cfcre/cfcre-python", "ghcr.io/cfcre/cfcre-mlflow")
OUR_USER = 10001
# Images of others that bring a user of their own.
OTHER_USERS = {"docker.io/library/postgres": 999}
# Accounts whose pods get a token for the Kubernetes API, and why.
TOKEN_ALLOWED = {"cfcre-pipeline": "Argo's executor reports a step's result through it"}
VOLUME_KINDS = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
AMOUNTS = ("cpu", "memory", "ephemeral-storage")
_SUFFIXES = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SUFFIXES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: Any) -> float:
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert match and match[2] in _SUFFIXES, f"{text!r} is not a quantity"
    return float(match[1]) * _SUFFIXES[match[2]]


def image_name(container: dict[str, Any]) -> str:
    name: str = container.get("image") or ""
    return re.sub(r"(@sha256:[0-9a-f]+|:[^:/]+)$", "", name)


def _context(value: dict[str, Any]) -> dict[str, Any]:
    return value.get("securityContext") or {}


def _each(
    check: Callable[[Pod, dict[str, Any]], str | None],
) -> Callable[[Bundle], Iterator[str]]:
    """A rule for each container; the check says what is wrong, or None."""

    @functools.wraps(check)
    def rule(bundle: Bundle) -> Iterator[str]:
        for pod in bundle.pods():
            if not pod.spec.get("containers"):
                yield f"{pod.where}: has no container"
            for container in pod.containers():
                if problem := check(pod, container):
                    yield f"{pod.where}, container {container.get('name')}: {problem}"

    return rule


@_each
def non_root(pod: Pod, container: dict[str, Any]) -> str | None:
    asked = _context(container).get("runAsNonRoot", _context(pod.spec).get("runAsNonRoot"))
    return None if asked is True else "runAsNonRoot is not true"


@_each
def user(pod: Pod, container: dict[str, Any]) -> str | None:
    if pod.foreign:
        return None
    wanted = OTHER_USERS.get(image_name(container), OUR_USER)
    both = _context(pod.spec) | _context(container)
    # fsGroup: without it a projected token or a claim's volume is not readable for that user.
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        if both.get(key) != wanted:
            return f"{key} is {both.get(key)}, not {wanted}"
    return None


@_each
def read_only_root(pod: Pod, container: dict[str, Any]) -> str | None:
    closed = _context(container).get("readOnlyRootFilesystem") is True
    return None if closed else "readOnlyRootFilesystem is not true"


@_each
def no_escalation(pod: Pod, container: dict[str, Any]) -> str | None:
    context = _context(container)
    if context.get("allowPrivilegeEscalation") is not False:
        return "allowPrivilegeEscalation is not false"
    return "privileged" if context.get("privileged") else None


@_each
def no_capabilities(pod: Pod, container: dict[str, Any]) -> str | None:
    capabilities = _context(container).get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"]:
        return "does not drop ALL capabilities"
    return "adds capabilities" if capabilities.get("add") else None


@_each
def seccomp(pod: Pod, container: dict[str, Any]) -> str | None:
    profile = _context(container).get("seccompProfile", _context(pod.spec).get("seccompProfile"))
    named = (profile or {}).get("type") == "RuntimeDefault"
    return None if named else "seccompProfile is not RuntimeDefault"


def nothing_of_the_host(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "nodeName"):
            if pod.spec.get(key):
                yield f"{pod.where}: {key}"
        for volume in pod.spec.get("volumes") or ():
            for kind in set(volume) - {"name"} - VOLUME_KINDS:
                yield f"{pod.where}: volume {volume['name']} is a {kind}"
        for container in pod.containers():
            for port in container.get("ports") or ():
                if port.get("hostPort"):
                    yield f"{pod.where}: hostPort {port['hostPort']}"


@_each
def resources(pod: Pod, container: dict[str, Any]) -> str | None:
    given = container.get("resources") or {}
    if pod.foreign:
        # The namespace's LimitRange completes what a controller leaves out.
        whole = {"cpu", "memory"} <= set(given.get("requests") or ())
        bounded = "memory" in (given.get("limits") or ())
        return None if whole and bounded else "no requests of cpu and memory, or no memory limit"
    for amount in AMOUNTS:
        for part in ("requests", "limits"):
            if amount not in (given.get(part) or {}):
                return f"no {part} of {amount}"
        if quantity(given["requests"][amount]) > quantity(given["limits"][amount]):
            return f"requests more {amount} than its limit"
    return None


def probes(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        if not pod.long_running:
            continue
        for container in pod.spec["containers"]:
            ports = {p.get("name") for p in container.get("ports") or ()}
            ports |= {p["containerPort"] for p in container.get("ports") or ()}
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(name)
                if not probe:
                    yield f"{pod.where}, container {container['name']}: no {name}"
                    continue
                target = probe.get("httpGet") or probe.get("tcpSocket") or {}
                if not target and "exec" not in probe:
                    yield f"{pod.where}: {name} asks nothing"
                if target and target.get("port") not in ports:
                    yield f"{pod.where}: {name} asks port {target.get('port')}, which is not there"


@_each
def image_is_fixed(pod: Pod, container: dict[str, Any]) -> str | None:
    if pod.foreign:
        return None
    image = container.get("image") or ""
    _, _, tag = image.removeprefix(image_name(container)).partition(":")
    if not tag or tag == "latest":
        return f"image {image or 'missing'} names no version"
    known = image_name(container) in {*OUR_IMAGES, *OTHER_USERS, "docker.io/rclone/rclone"}
    return None if known else f"image {image} is not one of the known ones"


def writable_places_are_bounded(bundle: Bundle) -> Iterator[str]:
    """The root is read-only, so what a program writes to must be a volume, of a given size."""
    for pod in bundle.pods():
        bounded = set()
        for volume in pod.spec.get("volumes") or ():
            if "emptyDir" in volume:
                if "sizeLimit" not in (volume["emptyDir"] or {}):
                    yield f"{pod.where}: emptyDir {volume['name']} has no sizeLimit"
                bounded.add(volume["name"])
        for container in pod.containers():
            mounts = {m["mountPath"]: m for m in container.get("volumeMounts") or ()}
            for variable in container.get("env") or ():
                if variable["name"] in {"HOME", "TMPDIR", "CFCRE_HOME"}:
                    mount = mounts.get(variable.get("value"))
                    if not mount or mount["name"] not in bounded or mount.get("readOnly"):
                        yield f"{pod.where}: {variable['name']} is not in a writable emptyDir"
            cfcre = image_name(container) == OUR_IMAGES[0]
            if cfcre and not {"/tmp", "/var/lib/cfcre"} <= set(mounts):
                yield f"{pod.where}: /tmp and /var/lib/cfcre are not both mounted"
            if cfcre and not {"TMPDIR", "CFCRE_HOME"} <= {
                v["name"] for v in container.get("env") or ()
            }:
                yield f"{pod.where}: TMPDIR and CFCRE_HOME are not both set"


def token_only_where_allowed(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        if pod.foreign:
            continue
        allowed = pod.spec.get("serviceAccountName") in TOKEN_ALLOWED
        if pod.spec.get("automountServiceAccountToken") is not False and not allowed:
            yield f"{pod.where}: automountServiceAccountToken is not false"
    for account in bundle.of("ServiceAccount"):
        name = account["metadata"]["name"]
        if account.get("automountServiceAccountToken") is not (name in TOKEN_ALLOWED):
            yield f"ServiceAccount/{name}: automountServiceAccountToken is not what is allowed"


def own_account(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        ours = any(image_name(c) in OUR_IMAGES for c in pod.containers())
        name = pod.spec.get("serviceAccountName")
        third_party = any(image_name(c) not in OUR_IMAGES for c in pod.containers())
        if ours and not third_party and not name:
            yield f"{pod.where}: runs under the account default"


def ends_in_time(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        if pod.long_running and "terminationGracePeriodSeconds" not in pod.spec:
            yield f"{pod.where}: no terminationGracePeriodSeconds"
        for container in pod.containers():
            sleep = (container.get("lifecycle") or {}).get("preStop", {}).get("sleep", {})
            if sleep.get("seconds", 0) >= pod.spec.get("terminationGracePeriodSeconds", 30):
                yield f"{pod.where}: preStop takes the whole grace period"


def no_service_variables(bundle: Bundle) -> Iterator[str]:
    """Kubernetes would set a variable for every Service, CFCRE_… among them, which cfcre reads."""
    for pod in bundle.pods():
        if not pod.foreign and pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.where}: enableServiceLinks is not false"


def every_container_is_seen(bundle: Bundle) -> Iterator[str]:
    """A kind that these tests do not know must not carry a pod past the rules."""
    seen = {id(container) for pod in bundle.pods() for container in pod.containers()}
    through_jobs = {"TrainJob", "TrainingRuntime", "ClusterTrainingRuntime"}
    for found in bundle.objects:
        if found["kind"] in through_jobs:
            continue
        for path, value in walk(found):
            if isinstance(value, dict) and "image" in value and id(value) not in seen:
                yield f"{found['kind']}/{found['metadata']['name']}: {path} is not seen"
            if path.endswith("ontainers") and isinstance(value, list):
                for inner in value:
                    if isinstance(inner, dict) and "name" in inner and id(inner) not in seen:
                        yield f"{found['kind']}/{found['metadata']['name']}: {path} is not seen"
