"""Who may connect to whom: nothing by default, and each allowed connection leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s_bundle import Bundle, Pod, kind_name
from k8s_rules_references import NAMESPACE, named_ports, selects

# Pods that controllers make, by the label that they carry. No object here makes them.
OUTSIDE_PODS = {
    "pipelines.kubeflow.org/v2_component": "pods of a run, made by Kubeflow Pipelines",
    "jobset.sigs.k8s.io/jobset-name": "pods of a TrainJob, made by Kubeflow Trainer",
    "acme.cert-manager.io/http01-solver": "cert-manager's proof of a name",
    "eventbus-name": "the bus, made by Argo Events",
    "eventsource-name": "pods of an EventSource, made by Argo Events",
    "sensor-name": "pods of a Sensor, made by Argo Events",
    "cfcre/calls-webhook": "whoever is let in to the watcher's webhook",
}
# What a pod is configured with, and the label that asks for the way there.
NEEDS = {
    "CFCRE_LEDGER": "cfcre/uses-postgres",
    "CFCRE_MLFLOW_AUTH_DATABASE_URI": "cfcre/uses-postgres",
    "MLFLOW_BACKEND_STORE_URI": "cfcre/uses-postgres",
    "AWS_ACCESS_KEY_ID": "cfcre/uses-object-store",
    "MLFLOW_TRACKING_USERNAME": "cfcre/uses-mlflow",
}
KUBEFLOW_TOKEN = "/var/run/secrets/kubeflow/pipelines"
AUDIENCE = "pipelines.kubeflow.org"


def denied_by_default(bundle: Bundle) -> Iterator[str]:
    spaces = {f["metadata"]["namespace"] for f in bundle.objects if "namespace" in f["metadata"]}
    for space in sorted(spaces):
        closed: set[str] = set()
        for policy in bundle.of("NetworkPolicy"):
            spec = policy["spec"]
            if policy["metadata"]["namespace"] == space and not spec["podSelector"]:
                for kind in ("Ingress", "Egress"):
                    # A rule for that direction would allow something for every pod.
                    if kind in (spec.get("policyTypes") or []) and kind.lower() not in spec:
                        closed.add(kind)
        for kind in sorted({"Ingress", "Egress"} - closed):
            yield f"namespace {space}: {kind} is not denied by default"


def policies_say_their_direction(bundle: Bundle) -> Iterator[str]:
    for policy in bundle.of("NetworkPolicy"):
        spec = policy["spec"]
        types = spec.get("policyTypes")
        given = {kind for kind in ("Ingress", "Egress") if kind.lower() in spec}
        if not types or not given <= set(types):
            yield f"{kind_name(policy)}: policyTypes does not name what it rules"


def _keys(selector: dict[str, Any]) -> set[str]:
    asked = {item["key"] for item in selector.get("matchExpressions") or ()}
    return asked | set(selector.get("matchLabels") or {})


def policies_select_pods(bundle: Bundle) -> Iterator[str]:
    pods = bundle.pods()
    for policy in bundle.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        taken = [pod for pod in pods if selects(selector, pod.labels)]
        if not taken and not _keys(selector) & set(OUTSIDE_PODS):
            yield f"{kind_name(policy)}: selects no pod"
        for rule in policy["spec"].get("ingress") or ():
            for port in rule.get("ports") or ():
                for pod in taken:
                    # A controller opens the ports of its own pods.
                    if not pod.foreign and port["port"] not in named_ports(pod).values():
                        yield f"{kind_name(policy)}: {pod.where} has no port {port['port']}"


def rules_are_narrow(bundle: Bundle) -> Iterator[str]:
    """Peers and ports are named. All ports are for the pods of one job among each other only."""
    for policy in bundle.of("NetworkPolicy"):
        spec = policy["spec"]
        for kind, field in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(kind) or ():
                peers = rule.get(field)
                if not peers:
                    yield f"{kind_name(policy)}: {kind} for everybody"
                among = bool(peers) and all(
                    peer.get("podSelector") == spec["podSelector"]
                    and "namespaceSelector" not in peer
                    for peer in peers
                )
                if not rule.get("ports") and not among:
                    yield f"{kind_name(policy)}: {kind} on every port"
                for peer in peers or ():
                    yield from _peer(bundle, kind_name(policy), peer, rule.get("ports") or ())


def _peer(bundle: Bundle, where: str, peer: dict[str, Any], ports: Any) -> Iterator[str]:
    if "ipBlock" in peer:
        if peer["ipBlock"]["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in (
            peer["ipBlock"].get("except") or ()
        ):
            yield f"{where}: reaches the cloud's metadata service"
        if peer["ipBlock"]["cidr"] == "0.0.0.0/0" and not ports:
            yield f"{where}: reaches every port of every address"
        return
    if "namespaceSelector" in peer:
        if not _keys(peer["namespaceSelector"]):
            yield f"{where}: every namespace"
        return
    selector = peer.get("podSelector") or {}
    if not _keys(selector):
        yield f"{where}: every pod of the namespace"
    # Labels that others put on their own pods to be let in are not to be found here.
    if _keys(selector) & set(OUTSIDE_PODS):
        return
    taken = [pod for pod in bundle.pods() if selects(selector, pod.labels)]
    if not taken:
        yield f"{where}: names a peer that does not exist"


def _allows(bundle: Bundle, kind: str, pod: Pod, other: Pod, port: int) -> bool:
    field = "to" if kind == "egress" else "from"
    for policy in bundle.of("NetworkPolicy"):
        if not selects(policy["spec"]["podSelector"], pod.labels):
            continue
        for rule in policy["spec"].get(kind) or ():
            numbers = [p["port"] for p in rule.get("ports") or ()]
            for peer in rule.get(field) or ():
                inside = "namespaceSelector" not in peer and "ipBlock" not in peer
                if inside and selects(peer.get("podSelector"), other.labels) and port in numbers:
                    return True
    return False


def both_ends_are_open(bundle: Bundle) -> Iterator[str]:
    """A connection inside the namespace needs a rule where it leaves and one where it arrives."""
    pods = bundle.pods()
    for pod in pods:
        for other in pods:
            if pod.where == other.where:
                continue
            for port in sorted(set(named_ports(other).values())):
                out = _allows(bundle, "egress", pod, other, port)
                into = _allows(bundle, "ingress", other, pod, port)
                if out != into:
                    end = "arrive" if out else "leave"
                    yield f"{pod.where} → {other.where}:{port} may not {end}"


def needs_have_a_way(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods():
        names = {v["name"] for c in pod.containers() for v in c.get("env") or ()}
        wanted = {label for name, label in NEEDS.items() if name in names}
        mounts = {m["mountPath"] for c in pod.containers() for m in c.get("volumeMounts") or ()}
        if KUBEFLOW_TOKEN in mounts:
            wanted.add("cfcre/uses-kubeflow")
        if "cfcre-dev-s3" in pod.where:
            wanted.clear()  # the store itself: the keys are those it asks of others
        for label in sorted(wanted):
            if pod.labels.get(label) != "true":
                yield f"{pod.where}: lacks the label {label}"
        for label in pod.labels:
            if label.startswith("cfcre/uses-") and not any(
                label in _keys(policy["spec"]["podSelector"]) and policy["spec"].get("egress")
                for policy in bundle.of("NetworkPolicy")
            ):
                yield f"{pod.where}: no policy knows the label {label}"


def kubeflow_token(bundle: Bundle) -> Iterator[str]:
    """Whoever starts runs has a token that only Kubeflow accepts, and nobody else has one."""
    for pod in bundle.pods():
        mounted = {
            mount["mountPath"]: mount["name"]
            for container in pod.containers()
            for mount in container.get("volumeMounts") or ()
        }
        sources = {
            volume["name"]: source["serviceAccountToken"]
            for volume in pod.spec.get("volumes") or ()
            for source in (volume.get("projected") or {}).get("sources") or ()
            if "serviceAccountToken" in source
        }
        caller = pod.labels.get("cfcre/uses-kubeflow") == "true"
        token = sources.get(mounted.get(KUBEFLOW_TOKEN, ""))
        if caller and (not token or token.get("path") != "token"):
            yield f"{pod.where}: no token at {KUBEFLOW_TOKEN}/token"
        for name, source in sources.items():
            if source.get("audience") != AUDIENCE or not caller:
                yield f"{pod.where}: volume {name} holds a token for {source.get('audience')}"
            if source.get("expirationSeconds", 3600) > 7200:
                yield f"{pod.where}: the token of volume {name} lives too long"


def restricted_namespace(bundle: Bundle) -> Iterator[str]:
    spaces = bundle.of("Namespace")
    if [space["metadata"]["name"] for space in spaces] != [NAMESPACE]:
        yield f"the namespaces are {[kind_name(space) for space in spaces]}"
    for space in spaces:
        labels = space["metadata"].get("labels") or {}
        for mode in ("enforce", "audit", "warn"):
            level = labels.get(f"pod-security.kubernetes.io/{mode}")
            version = labels.get(f"pod-security.kubernetes.io/{mode}-version")
            if level != "restricted":
                yield f"{kind_name(space)}: {mode} is {level}"
            if not version or version == "latest":
                yield f"{kind_name(space)}: the version of {mode} is not pinned"
