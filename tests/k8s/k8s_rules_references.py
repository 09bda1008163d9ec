"""Names that must lead somewhere: selectors, secrets, volumes, targets, queues, certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s_bundle import Bundle, Object, Pod, kind_name

NAMESPACE = "cfcre"
NOT_NAMESPACED = {
    "ClusterQueue",
    "ClusterTrainingRuntime",
    "Namespace",
    "PriorityClass",
    "ResourceFlavor",
}
# The contract: secrets that an installation brings, and their keys. docs/kubernetes.md lists them.
SECRETS = {
    "cfcre-ledger": {"url"},
    "cfcre-s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "cfcre-mlflow-client": {"username", "password"},
    "cfcre-mlflow-server": {
        "backend-store-uri",
        "auth-database-uri",
        "admin-username",
        "admin-password",
        "flask-secret-key",
    },
    "cfcre-webhook": {"secret"},
    "cfcre-serve": {"token"},
}


def selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector, with matchLabels and matchExpressions, takes these labels."""
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for asked in selector.get("matchExpressions") or ():
        value = labels.get(asked["key"])
        match asked["operator"]:
            case "Exists":
                taken = value is not None
            case "DoesNotExist":
                taken = value is None
            case "In":
                taken = value in asked["values"]
            case _:
                taken = value not in asked["values"]
        if not taken:
            return False
    return True


def named_ports(pod: Pod) -> dict[Any, int]:
    """Port of a pod by its name and by its number."""
    ports: dict[Any, int] = {}
    for container in pod.containers():
        for port in container.get("ports") or ():
            ports[port.get("name")] = ports[port["containerPort"]] = port["containerPort"]
    return ports


def in_the_namespace(bundle: Bundle) -> Iterator[str]:
    for found in bundle.objects:
        wanted = None if found["kind"] in NOT_NAMESPACED else NAMESPACE
        if found["metadata"].get("namespace") != wanted:
            yield f"{kind_name(found)}: namespace is {found['metadata'].get('namespace')}"


def selectors_match(bundle: Bundle) -> Iterator[str]:
    for found in bundle.of("Deployment", "StatefulSet", "DaemonSet"):
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        selector = found["spec"].get("selector") or {}
        if not selector.get("matchLabels") or not selects(selector, labels):
            yield f"{kind_name(found)}: its selector does not take its own pods"
        for other in bundle.pods():
            if other.where != kind_name(found) and selects(selector, other.labels):
                yield f"{kind_name(found)}: its selector takes the pods of {other.where}"
        for spread in found["spec"]["template"]["spec"].get("topologySpreadConstraints") or ():
            if not selects(spread.get("labelSelector"), labels):
                yield f"{kind_name(found)}: spreads by labels that its pods do not carry"


def services_reach_pods(bundle: Bundle) -> Iterator[str]:
    for service in bundle.of("Service"):
        selector = {"matchLabels": service["spec"].get("selector") or {}}
        pods = [p for p in bundle.pods() if selects(selector, p.labels) and p.long_running]
        if not selector["matchLabels"] or not pods:
            yield f"{kind_name(service)}: selects no pod"
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in pods:
                if target not in named_ports(pod):
                    yield f"{kind_name(service)}: {pod.where} has no port {target}"
    for found in bundle.of("StatefulSet"):
        if not bundle.get("Service", found["spec"]["serviceName"]):
            yield f"{kind_name(found)}: there is no Service {found['spec']['serviceName']}"


def monitors_find_targets(bundle: Bundle) -> Iterator[str]:
    for monitor in bundle.of("ServiceMonitor"):
        taken = [
            service
            for service in bundle.of("Service")
            if selects(monitor["spec"]["selector"], service["metadata"].get("labels") or {})
        ]
        if not taken:
            yield f"{kind_name(monitor)}: selects no Service"
        for endpoint in monitor["spec"]["endpoints"]:
            for service in taken:
                names = {port.get("name") for port in service["spec"]["ports"]}
                if endpoint.get("port") not in names:
                    yield f"{kind_name(monitor)}: no port {endpoint.get('port')}"
    for monitor in bundle.of("PodMonitor"):
        pods = [p for p in bundle.pods() if selects(monitor["spec"]["selector"], p.labels)]
        if not pods:
            yield f"{kind_name(monitor)}: selects no pod"
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for pod in pods:
                if endpoint.get("port", endpoint.get("portNumber")) not in named_ports(pod):
                    yield f"{kind_name(monitor)}: {pod.where} has no such port"


def budgets_select_and_yield(bundle: Bundle) -> Iterator[str]:
    for budget in bundle.of("PodDisruptionBudget"):
        spec = budget["spec"]
        pods = [p for p in bundle.pods() if selects(spec.get("selector"), p.labels)]
        if not spec.get("selector") or not pods:
            yield f"{kind_name(budget)}: selects no pod"
        if spec.get("maxUnavailable", 0) in (0, "0%"):
            yield f"{kind_name(budget)}: lets no pod be evicted, so no node can be drained"


def scalers_have_targets(bundle: Bundle) -> Iterator[str]:
    targets: dict[str, str] = {}
    for scaler in bundle.of("HorizontalPodAutoscaler", "ScaledObject"):
        reference = scaler["spec"]["scaleTargetRef"]
        target = bundle.get(reference.get("kind", "Deployment"), reference["name"])
        if target is None:
            yield f"{kind_name(scaler)}: there is no {reference['name']}"
            continue
        if "replicas" in target["spec"]:
            yield f"{kind_name(scaler)}: {kind_name(target)} fixes its replicas as well"
        if kind_name(target) in targets:
            yield f"{kind_name(scaler)}: {targets[kind_name(target)]} scales the same"
        targets[kind_name(target)] = kind_name(scaler)
        least = scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount", 0))
        if least < 1:
            yield f"{kind_name(scaler)}: may scale to none"
    for found in bundle.of("Deployment"):
        if "replicas" not in found["spec"] and kind_name(found) not in targets:
            yield f"{kind_name(found)}: nothing says how many replicas"


def _sources(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of every ConfigMap and Secret that a pod reads; no key is the whole."""
    for container in pod.containers():
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if field in source:
                    yield kind, source[field]["name"], source[field]["key"]
        for whole in container.get("envFrom") or ():
            for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if field in whole:
                    yield kind, whole[field]["name"], None
    for volume in pod.spec.get("volumes") or ():
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None


def sources_exist(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        for kind, name, key in _sources(pod):
            found = bundle.get(kind, name)
            keys: set[str] | None = None
            if found:
                keys = {*(found.get("data") or {}), *(found.get("stringData") or {})}
            elif kind == "Secret":
                keys = SECRETS.get(name)
            if keys is None:
                yield f"{pod.where}: {kind} {name} is neither here nor in the contract"
            elif key is not None and key not in keys:
                yield f"{pod.where}: {kind} {name} has no key {key}"


def volumes_are_there(bundle: Bundle) -> Iterator[str]:
    claims = {
        kind_name(found): {c["metadata"]["name"] for c in found["spec"]["volumeClaimTemplates"]}
        for found in bundle.of("StatefulSet")
    }
    for pod in bundle.pods():
        names = {v["name"] for v in pod.spec.get("volumes") or ()} | claims.get(pod.where, set())
        mounted = {m["name"] for c in pod.containers() for m in c.get("volumeMounts") or ()}
        for name in sorted(mounted ^ names):
            yield f"{pod.where}: volume {name} is mounted and not there, or there and not mounted"


def external_secrets_fill_the_contract(bundle: Bundle) -> Iterator[str]:
    external = bundle.of("ExternalSecret")
    for found in external:
        spec = found["spec"]
        name = spec["target"]["name"]
        keys = {item["secretKey"] for item in spec["data"]}
        if keys != SECRETS.get(name):
            yield f"{kind_name(found)}: makes {sorted(keys)} of {name}"
        if not bundle.get(spec["secretStoreRef"]["kind"], spec["secretStoreRef"]["name"]):
            yield f"{kind_name(found)}: its store is not there"
    missing = set(SECRETS) - {found["spec"]["target"]["name"] for found in external}
    if external and missing:
        yield f"no ExternalSecret makes {sorted(missing)}"


def queues_lead_to_nodes(bundle: Bundle) -> Iterator[str]:
    for queue in bundle.of("LocalQueue"):
        if not bundle.get("ClusterQueue", queue["spec"].get("clusterQueue", "")):
            yield f"{kind_name(queue)}: its ClusterQueue is not there"
    for queue in bundle.of("ClusterQueue"):
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                if not bundle.get("ResourceFlavor", flavor["name"]):
                    yield f"{kind_name(queue)}: ResourceFlavor {flavor['name']} is not there"
                if [r["name"] for r in flavor["resources"]] != group["coveredResources"]:
                    yield f"{kind_name(queue)}: {flavor['name']} has not the covered resources"


def priorities_exist(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        name = pod.spec.get("priorityClassName")
        if name and not bundle.get("PriorityClass", name):
            yield f"{pod.where}: PriorityClass {name} is not there"


def accounts_exist(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        name = pod.spec.get("serviceAccountName")
        # An example may name an account that is made beside it, with a role of the cloud.
        if name and not pod.foreign and not bundle.get("ServiceAccount", name):
            yield f"{pod.where}: ServiceAccount {name} is not there"


def ingress_is_encrypted_and_answered(bundle: Bundle) -> Iterator[str]:
    certificates = {
        found["spec"]["secretName"]: set(found["spec"]["dnsNames"])
        for found in bundle.of("Certificate")
    }
    for ingress in bundle.of("Ingress"):
        spec = ingress["spec"]
        covered = {
            host: tls["secretName"] for tls in spec.get("tls") or () for host in tls["hosts"]
        }
        for rule in spec["rules"]:
            if rule["host"] not in certificates.get(covered.get(rule["host"], ""), set()):
                yield f"{kind_name(ingress)}: no certificate for {rule['host']}"
            for path in rule["http"]["paths"]:
                yield from _backend(bundle, ingress, path["backend"]["service"])


def _backend(bundle: Bundle, ingress: Object, backend: dict[str, Any]) -> Iterator[str]:
    service = bundle.get("Service", backend["name"])
    ports = {p.get("name") for p in service["spec"]["ports"]} if service else set()
    if service is None or backend["port"].get("name") not in ports:
        yield f"{kind_name(ingress)}: there is no Service {backend['name']} with that port"
        return
    for pod in bundle.pods():
        if selects({"matchLabels": service["spec"]["selector"]}, pod.labels):
            names = {v["name"] for c in pod.containers() for v in c.get("env") or ()}
            if not names & {"CFCRE_SERVE_TOKEN", "MLFLOW_AUTH_ADMIN_PASSWORD"}:
                yield f"{kind_name(ingress)}: {pod.where} is open to all the world"


def version_of(image: str) -> str:
    return re.sub(r"^.*:", "", image)
