"""The policy: every rule with the sentence that docs/kubernetes.md shows for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import k8s_rules_network as network
import k8s_rules_objects as objects
import k8s_rules_pods as pods
import k8s_rules_references as references
from k8s_bundle import Bundle


@dataclass(frozen=True)
class Rule:
    """A rule of the policy.

    Attributes:
        text: What is asserted.
        check: Yields what is wrong.
    """

    text: str
    check: Callable[[Bundle], Iterator[str]]

    @property
    def name(self) -> str:
        return self.check.__name__


RULES = (
    # Every pod, in whatever kind of object it is described.
    Rule("Containers run as a user that is not root.", pods.non_root),
    Rule("User and group are 10001; an image of others has the user it brings.", pods.user),
    Rule("The root file system is read-only.", pods.read_only_root),
    Rule("No privilege escalation, no privileged container.", pods.no_escalation),
    Rule("Every capability is dropped, none is added.", pods.no_capabilities),
    Rule("The seccomp profile is RuntimeDefault.", pods.seccomp),
    Rule(
        "No network, process or IPC namespace, path or port of the host.", pods.nothing_of_the_host
    ),
    Rule("Requests and limits of cpu, memory and ephemeral storage.", pods.resources),
    Rule("Startup, liveness and readiness probes on what runs for ever.", pods.probes),
    Rule("Images are known ones and name a version, never latest.", pods.image_is_fixed),
    Rule(
        "What is written to is an emptyDir of limited size; HOME, TMPDIR, CFCRE_HOME are there.",
        pods.writable_places_are_bounded,
    ),
    Rule(
        "No token for the Kubernetes API, except where Argo's executor needs one.",
        pods.token_only_where_allowed,
    ),
    Rule("Pods of cfcre have a service account of their own.", pods.own_account),
    Rule("A grace period is set, and preStop is shorter.", pods.ends_in_time),
    Rule("No variables of Kubernetes for its Services.", pods.no_service_variables),
    Rule(
        "No container is in a place that these rules do not look at.", pods.every_container_is_seen
    ),
    # Secrets and permissions.
    Rule(
        "No secret is literal in a variable, an argument or a ConfigMap, none in the repository.",
        objects.no_secret_literal,
    ),
    Rule(
        "Roles name verbs and secrets; none counts in the whole cluster.", objects.least_privilege
    ),
    Rule(
        "A token for Kubeflow, and for nobody else, where runs are started.", network.kubeflow_token
    ),
    Rule(
        "MLflow asks for a login, checks the Host header and proxies artifacts.",
        objects.mlflow_is_closed,
    ),
    # The network.
    Rule("The namespace enforces the restricted level, pinned.", network.restricted_namespace),
    Rule("Ingress and egress are denied by default.", network.denied_by_default),
    Rule("A NetworkPolicy names the directions it rules.", network.policies_say_their_direction),
    Rule("A NetworkPolicy selects pods, and ports that they have.", network.policies_select_pods),
    Rule("A NetworkPolicy names peers and ports; no metadata service.", network.rules_are_narrow),
    Rule("What may leave for a pod may arrive there, and the reverse.", network.both_ends_are_open),
    Rule("A pod may reach what it is configured with.", network.needs_have_a_way),
    Rule(
        "An Ingress has TLS with a certificate for its host, and what it offers asks for a login.",
        references.ingress_is_encrypted_and_answered,
    ),
    # Names that lead somewhere.
    Rule(
        "Every object is in the namespace cfcre, or is not namespaced.", references.in_the_namespace
    ),
    Rule("Selectors of workloads take their own pods and no others.", references.selectors_match),
    Rule("Every Service selects a pod that has its port.", references.services_reach_pods),
    Rule("Every monitor selects something that has its port.", references.monitors_find_targets),
    Rule("A disruption budget selects pods and lets one go.", references.budgets_select_and_yield),
    Rule("An autoscaler has a target, alone, and never none.", references.scalers_have_targets),
    Rule(
        "Secrets, ConfigMaps and their keys are there or in the list of outside secrets.",
        references.sources_exist,
    ),
    Rule("Volumes are mounted, mounts have volumes.", references.volumes_are_there),
    Rule(
        "External secrets make every secret of the contract, with its keys.",
        references.external_secrets_fill_the_contract,
    ),
    Rule("Queues lead to a ResourceFlavor.", references.queues_lead_to_nodes),
    Rule("Priority classes that are named exist.", references.priorities_exist),
    Rule("Service accounts that are named exist.", references.accounts_exist),
    # Jobs and replicas.
    Rule("Jobs have deadlines, retries, and a time to be removed.", objects.jobs_are_bounded),
    Rule("The name of a Job carries its release.", objects.jobs_carry_the_release),
    Rule("All images of cfcre are of one release.", objects.one_release),
    Rule("Two replicas are spread, budgeted and prioritised.", objects.more_than_one_is_spread),
)


def problems(bundle: Bundle, *names: str) -> list[str]:
    """What the rules, or the named ones, find in a bundle."""
    return [
        f"{rule.name}: {problem}"
        for rule in RULES
        if not names or rule.name in names
        for problem in rule.check(bundle)
    ]
