"""Ways to break the manifests: each names the rule that must notice.

``REMOVALS`` finds every single setting that the policy is about and takes it away, one at a time;
``MUTATIONS`` breaks what is not a setting to be removed: names, labels, values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from k8s_bundle import Bundle, Object, walk

# A field of a pod or container, and the rule that must notice when it is gone. A path ends in one
# of these keys; the last key is removed.
_SETTINGS = {
    "securityContext.runAsNonRoot": "non_root",
    "securityContext.runAsUser": "user",
    "securityContext.runAsGroup": "user",
    "securityContext.fsGroup": "user",
    "securityContext.seccompProfile": "seccomp",
    "seccompProfile.type": "seccomp",
    "securityContext.allowPrivilegeEscalation": "no_escalation",
    "securityContext.readOnlyRootFilesystem": "read_only_root",
    "securityContext.capabilities": "no_capabilities",
    "capabilities.drop": "no_capabilities",
    "resources.requests": "resources",
    "resources.limits": "resources",
    "requests.cpu": "resources",
    "requests.memory": "resources",
    "requests.ephemeral-storage": "resources",
    "limits.cpu": "resources",
    "limits.memory": "resources",
    "limits.ephemeral-storage": "resources",
    "startupProbe": "probes",
    "livenessProbe": "probes",
    "readinessProbe": "probes",
    "emptyDir.sizeLimit": "writable_places_are_bounded",
    "automountServiceAccountToken": "token_only_where_allowed",
    "enableServiceLinks": "no_service_variables",
    "spec.policyTypes": "policies_say_their_direction",
    "spec.concurrencyPolicy": "jobs_are_bounded",
    "spec.startingDeadlineSeconds": "jobs_are_bounded",
    "spec.activeDeadlineSeconds": "jobs_are_bounded",
    "spec.ttlSecondsAfterFinished": "jobs_are_bounded",
    "spec.backoffLimit": "jobs_are_bounded",
    "spec.failedJobsHistoryLimit": "jobs_are_bounded",
    "spec.topologySpreadConstraints": "more_than_one_is_spread",
    "predictor.topologySpreadConstraints": "more_than_one_is_spread",
    "spec.tls": "ingress_is_encrypted_and_answered",
}
# The same words where they mean something else.
_ELSEWHERE = ("volumeClaimTemplates", "LimitRange", "resourceGroups")


def removals(bundle: Bundle) -> Iterator[tuple[str, str, Bundle]]:
    """What is removed, the rule that must notice, and a bundle without it."""
    for number, found in enumerate(bundle.objects):
        where = f"{found['kind']}/{found['metadata']['name']}"
        for path, value in walk(found):
            if isinstance(value, dict) and not any(w in f"{where}.{path}" for w in _ELSEWHERE):
                for key in value:
                    rule = _rule(path, key)
                    if rule:
                        broken = bundle.copy()
                        del _at(broken.objects[number], path)[key]
                        yield f"{where}: {path}.{key}", rule, broken


def _rule(path: str, key: str) -> str | None:
    parent = path.rpartition(".")[2]
    return _SETTINGS.get(f"{parent}.{key}") or _SETTINGS.get(key)


def _at(found: Object, path: str) -> Any:
    value: Any = found
    for part in path.split(".") if path else ():
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _get(bundle: Bundle, kind: str, name: str) -> Object:
    found = bundle.get(kind, name)
    assert found is not None, f"{kind}/{name}"
    return found


def _spec(bundle: Bundle, name: str = "cfcre-watcher", kind: str = "Deployment") -> dict[str, Any]:
    template: dict[str, Any] = _get(bundle, kind, name)["spec"]["template"]
    return dict(template)["spec"]


def _container(bundle: Bundle, name: str = "cfcre-watcher") -> dict[str, Any]:
    container: dict[str, Any] = _spec(bundle, name)["containers"][0]
    return container


def _policy(bundle: Bundle, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = _get(bundle, "NetworkPolicy", name)["spec"]
    return spec


def _env(bundle: Bundle, variable: str) -> dict[str, Any]:
    found: dict[str, Any] = next(v for v in _container(bundle)["env"] if v["name"] == variable)
    return found


def _drop(bundle: Bundle, kind: str, name: str) -> None:
    bundle.objects.remove(_get(bundle, kind, name))


Mutation = Callable[[Bundle], Any]

# For the overlay production. A table: what is done, the rule that must notice, how it is done.
# fmt: off
MUTATIONS: tuple[tuple[str, str, Mutation], ...] = (
    ("root", "non_root", lambda b: _container(b)["securityContext"].update(runAsNonRoot=False)),
    ("another user", "user", lambda b: _container(b)["securityContext"].update(runAsUser=0)),
    ("writable", "read_only_root",
     lambda b: _container(b)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("privileged", "no_escalation",
     lambda b: _container(b)["securityContext"].update(privileged=True)),
    ("a capability", "no_capabilities",
     lambda b: _container(b)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
    ("unconfined", "seccomp",
     lambda b: _container(b)["securityContext"].update(seccompProfile={"type": "Unconfined"})),
    ("host network", "nothing_of_the_host", lambda b: _spec(b).update(hostNetwork=True)),
    ("host processes", "nothing_of_the_host", lambda b: _spec(b).update(hostPID=True)),
    ("host path", "nothing_of_the_host",
     lambda b: _spec(b)["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    ("host port", "nothing_of_the_host", lambda b: _container(b)["ports"][0].update(hostPort=80)),
    ("requests above limits", "resources",
     lambda b: _container(b)["resources"]["requests"].update(memory="2Gi")),
    ("probe of no port", "probes",
     lambda b: _container(b)["livenessProbe"]["httpGet"].update(port="nowhere")),
    ("latest", "image_is_fixed",
     lambda b: _container(b).update(image="ghcr.io/cfcre/cfcre-python:latest")),
    ("no tag", "image_is_fixed",
     lambda b: _container(b).update(image="ghcr.io/cfcre/cfcre-python")),
    ("unknown image", "image_is_fixed", lambda b: _container(b).update(image="evil.example/x:1")),
    ("home on the root", "writable_places_are_bounded",
     lambda b: _env(b, "HOME").update(value="/root")),
    ("no /tmp", "writable_places_are_bounded",
     lambda b: _container(b)["volumeMounts"].pop()),
    ("token on", "token_only_where_allowed",
     lambda b: _spec(b).update(automountServiceAccountToken=True)),
    ("account default", "own_account", lambda b: _spec(b).pop("serviceAccountName")),
    ("no grace period", "ends_in_time", lambda b: _spec(b).pop("terminationGracePeriodSeconds")),
    ("long preStop", "ends_in_time",
     lambda b: _container(b, "cfcre-serve")["lifecycle"]["preStop"]["sleep"].update(seconds=60)),
    ("service links", "no_service_variables", lambda b: _spec(b).update(enableServiceLinks=True)),
    ("unknown kind", "every_container_is_seen",
     lambda b: b.objects.append({
         "apiVersion": "x/v1", "kind": "Fleet", "metadata": {"name": "f", "namespace": "cfcre"},
         "spec": {"containers": [{"name": "c", "image": "x"}]}})),
    ("literal secret", "no_secret_literal",
     lambda b: (_env(b, "MLFLOW_TRACKING_PASSWORD").pop("valueFrom"),
                _env(b, "MLFLOW_TRACKING_PASSWORD").update(value="hunter22"))),
    ("password in an argument", "no_secret_literal",
     lambda b: _container(b)["args"].append("--ledger=postgresql://cfcre:hunter22@db/cfcre")),
    ("password in a ConfigMap", "no_secret_literal",
     lambda b: _get(b, "ConfigMap", "cfcre-connections")["data"].update(
         MLFLOW_TRACKING_URI="http://u:hunter22@mlflow:5000")),
    ("a Secret", "no_secret_literal",
     lambda b: b.objects.append({
         "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "cfcre"}})),
    ("cluster role", "least_privilege",
     lambda b: _get(b, "Role", "cfcre-pipeline").update(kind="ClusterRole")),
    ("wildcard", "least_privilege",
     lambda b: _get(b, "Role", "cfcre-pipeline")["rules"][0].update(verbs=["*"])),
    ("all secrets", "least_privilege",
     lambda b: _get(b, "Role", "cfcre-pipeline")["rules"][3].pop("resourceNames")),
    ("role for nobody", "least_privilege",
     lambda b: _get(b, "RoleBinding", "cfcre-watcher")["subjects"][0].update(name="gone")),
    ("other audience", "kubeflow_token",
     lambda b: _spec(b)["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"].update(
         audience="https://kubernetes.default.svc")),
    ("no token", "kubeflow_token",
     lambda b: [m.update(mountPath="/x") for m in _container(b)["volumeMounts"]
                if m["name"] == "kubeflow-token"]),
    ("no login", "mlflow_is_closed",
     lambda b: _container(b, "cfcre-mlflow").update(command=["mlflow", "server"])),
    ("another app", "mlflow_is_closed",
     lambda b: _container(b, "cfcre-mlflow")["args"].append("--app-name=x")),
    ("any host", "mlflow_is_closed",
     lambda b: _get(b, "ConfigMap", "cfcre-mlflow")["data"].update(
         MLFLOW_SERVER_ALLOWED_HOSTS="*")),
    ("no proxy", "mlflow_is_closed",
     lambda b: _container(b, "cfcre-mlflow")["args"].remove("--serve-artifacts")),
    ("baseline", "restricted_namespace",
     lambda b: _get(b, "Namespace", "cfcre")["metadata"]["labels"].update(
         {"pod-security.kubernetes.io/enforce": "baseline"})),
    ("latest level", "restricted_namespace",
     lambda b: _get(b, "Namespace", "cfcre")["metadata"]["labels"].update(
         {"pod-security.kubernetes.io/warn-version": "latest"})),
    ("no default deny", "denied_by_default",
     lambda b: _drop(b, "NetworkPolicy", "cfcre-default-deny")),
    ("no default egress", "denied_by_default",
     lambda b: _policy(b, "cfcre-default-deny").update(policyTypes=["Ingress"])),
    ("policy for nobody", "policies_select_pods",
     lambda b: _policy(b, "cfcre-webhook-callers")["podSelector"]["matchLabels"].update(
         {"app.kubernetes.io/name": "gone"})),
    ("port of nobody", "policies_select_pods",
     lambda b: _policy(b, "cfcre-webhook-callers")["ingress"][0]["ports"][0].update(port=1)),
    ("from everybody", "rules_are_narrow",
     lambda b: _policy(b, "cfcre-webhook-callers")["ingress"][0].pop("from")),
    ("every port", "rules_are_narrow",
     lambda b: _policy(b, "cfcre-to-object-store")["egress"][0].pop("ports")),
    ("metadata service", "rules_are_narrow",
     lambda b: _policy(b, "cfcre-to-object-store")["egress"][0]["to"][0]["ipBlock"].pop("except")),
    ("every namespace", "rules_are_narrow",
     lambda b: _policy(b, "cfcre-to-kubeflow")["egress"][0]["to"][0].update(namespaceSelector={})),
    ("may not arrive", "both_ends_are_open",
     lambda b: _drop(b, "NetworkPolicy", "cfcre-mlflow-clients")),
    ("may not leave", "both_ends_are_open", lambda b: _drop(b, "NetworkPolicy", "cfcre-to-mlflow")),
    ("no way to Postgres", "needs_have_a_way",
     lambda b: _get(b, "Deployment", "cfcre-watcher")["spec"]["template"]["metadata"]["labels"].pop(
         "cfcre/uses-postgres")),
    ("no policy for the way", "needs_have_a_way",
     lambda b: _drop(b, "NetworkPolicy", "cfcre-to-postgres")),
    ("no certificate", "ingress_is_encrypted_and_answered",
     lambda b: _drop(b, "Certificate", "cfcre-serve")),
    ("no login for predictions", "ingress_is_encrypted_and_answered",
     lambda b: [v.update(name="X") for v in _container(b, "cfcre-serve")["env"]
                if v["name"] == "CFCRE_SERVE_TOKEN"]),
    ("no backend", "ingress_is_encrypted_and_answered",
     lambda b: _drop(b, "Service", "cfcre-serve")),
    ("another namespace", "in_the_namespace",
     lambda b: _get(b, "Service", "cfcre-serve")["metadata"].pop("namespace")),
    ("selector of nobody", "selectors_match",
     lambda b: _get(b, "Deployment", "cfcre-watcher")["spec"]["selector"]["matchLabels"].update(
         {"app.kubernetes.io/name": "gone"})),
    ("selector of others", "selectors_match",
     lambda b: _get(b, "Deployment", "cfcre-watcher")["spec"].update(
         selector={"matchLabels": {"cfcre/uses-mlflow": "true"}})),
    ("service for nobody", "services_reach_pods",
     lambda b: _get(b, "Service", "cfcre-watcher")["spec"]["selector"].update(x="y")),
    ("service of no port", "services_reach_pods",
     lambda b: _get(b, "Service", "cfcre-watcher")["spec"]["ports"][0].update(targetPort="gone")),
    ("monitor of nobody", "monitors_find_targets",
     lambda b: _get(b, "ServiceMonitor", "cfcre-watcher")["spec"]["selector"]["matchLabels"].update(
         x="y")),
    ("monitor of no port", "monitors_find_targets",
     lambda b: _get(b, "PodMonitor", "cfcre-serve")["spec"]["podMetricsEndpoints"][0].update(
         portNumber=1)),
    ("budget of nobody", "budgets_select_and_yield",
     lambda b: _get(b, "PodDisruptionBudget", "cfcre-serve")["spec"]["selector"][
         "matchLabels"].update(x="y")),
    ("budget of none", "budgets_select_and_yield",
     lambda b: _get(b, "PodDisruptionBudget", "cfcre-serve")["spec"].update(maxUnavailable=0)),
    ("scaler of nothing", "scalers_have_targets",
     lambda b: _get(b, "HorizontalPodAutoscaler", "cfcre-serve")["spec"]["scaleTargetRef"].update(
         name="gone")),
    ("fixed replicas", "scalers_have_targets",
     lambda b: _get(b, "Deployment", "cfcre-serve")["spec"].update(replicas=3)),
    ("unknown secret", "sources_exist",
     lambda b: _env(b, "CFCRE_LEDGER")["valueFrom"]["secretKeyRef"].update(name="gone")),
    ("unknown key", "sources_exist",
     lambda b: _env(b, "CFCRE_LEDGER")["valueFrom"]["secretKeyRef"].update(key="gone")),
    ("no ConfigMap", "sources_exist", lambda b: _drop(b, "ConfigMap", "cfcre-config")),
    ("no volume", "volumes_are_there", lambda b: _spec(b)["volumes"].pop()),
    ("unused volume", "volumes_are_there",
     lambda b: [m.update(name="tmp") for m in _container(b)["volumeMounts"]
                if m["name"] == "kubeflow-token"]),
    ("incomplete secret", "external_secrets_fill_the_contract",
     lambda b: _get(b, "ExternalSecret", "cfcre-mlflow-server")["spec"]["data"].pop()),
    ("missing secret", "external_secrets_fill_the_contract",
     lambda b: _drop(b, "ExternalSecret", "cfcre-webhook")),
    ("no store", "external_secrets_fill_the_contract", lambda b: _drop(b, "SecretStore", "cfcre")),
    ("no queue", "queues_lead_to_nodes", lambda b: _drop(b, "ClusterQueue", "cfcre-training")),
    ("no flavor", "queues_lead_to_nodes", lambda b: _drop(b, "ResourceFlavor", "cfcre-gpu")),
    ("no priority class", "priorities_exist",
     lambda b: _drop(b, "PriorityClass", "cfcre-serving")),
    ("no account", "accounts_exist", lambda b: _drop(b, "ServiceAccount", "cfcre-serve")),
    ("old name", "jobs_carry_the_release",
     lambda b: _get(b, "Job", "cfcre-migrate-0-1-0")["metadata"].update(name="cfcre-migrate")),
    ("two releases", "one_release",
     lambda b: _container(b).update(image="ghcr.io/cfcre/cfcre-python:0.2.0")),
    ("no budget", "more_than_one_is_spread",
     lambda b: _drop(b, "PodDisruptionBudget", "cfcre-mlflow")),
    ("no priority", "more_than_one_is_spread", lambda b: _spec(b).pop("priorityClassName")),
)
# fmt: on
