"""The policy looks into pods that controllers make: of a TrainJob, of Argo Events."""

from __future__ import annotations

import copy

import pytest
from k8s_bundle import Bundle, Object, Pod
from k8s_rules import problems

LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
AMOUNTS = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}
RESOURCES = {"requests": AMOUNTS, "limits": AMOUNTS}
SECURITY = ("non_root", "user", "read_only_root", "no_escalation", "no_capabilities", "seccomp")


def metadata(name: str) -> dict[str, str]:
    return {"name": name, "namespace": "cfcre"}


RUNTIME: Object = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainingRuntime",
    "metadata": metadata("cfcre-torchrun"),
    "spec": {
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "spec": {
                                "template": {
                                    "spec": {
                                        "securityContext": POD,
                                        "automountServiceAccountToken": False,
                                        "containers": [{"name": "node", "securityContext": LOCKED}],
                                    }
                                }
                            }
                        },
                    }
                ]
            }
        }
    },
}
JOB: Object = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainJob",
    "metadata": metadata("task"),
    "spec": {
        "runtimeRef": {"kind": "TrainingRuntime", "name": "cfcre-torchrun"},
        "trainer": {
            "image": "ghcr.io/cfcre/cfcre-python:0.1.0",
            "command": ["torchrun"],
            "resourcesPerNode": RESOURCES,
        },
    },
}


def of_job(*objects: Object) -> tuple[Bundle, Pod]:
    bundle = Bundle("example", copy.deepcopy(list(objects)))
    (pod,) = bundle.pods()
    return bundle, pod


class TestTrainJob:
    def test_its_pods_are_the_runtime_s_with_its_trainer(self) -> None:
        bundle, pod = of_job(RUNTIME, JOB)
        (container,) = pod.containers()
        assert container["image"] == "ghcr.io/cfcre/cfcre-python:0.1.0"
        assert container["command"] == ["torchrun"]
        assert "jobset.sigs.k8s.io/jobset-name" in pod.labels
        assert problems(bundle, *SECURITY, "resources", "image_is_fixed") == []

    @pytest.mark.parametrize("rule", SECURITY)
    def test_a_runtime_that_is_not_here_secures_nothing(self, rule: str) -> None:
        bundle, _ = of_job(JOB)
        assert problems(bundle, rule)

    def test_a_patch_of_the_job_counts(self) -> None:
        job = copy.deepcopy(JOB)
        root = {"name": "node", "securityContext": {"runAsUser": 0}}
        inner = {"spec": {"template": {"spec": {"containers": [root]}}}}
        jobs = {"replicatedJobs": [{"name": "node", "template": inner}]}
        job["spec"]["runtimePatches"] = [
            {"manager": "x", "trainingRuntimeSpec": {"template": {"spec": jobs}}}
        ]
        bundle, _ = of_job(RUNTIME, job)
        assert problems(bundle, "user")
        assert problems(bundle, "read_only_root") == []

    def test_a_runtime_that_nobody_names_is_judged_itself(self) -> None:
        bundle, _ = of_job(RUNTIME)
        assert problems(bundle, "resources")


def sensor(**template: object) -> Bundle:
    found = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": metadata("s")}
    return Bundle("example", [found | {"spec": {"template": template} if template else {}}])


class TestArgoEvents:
    def test_a_template_with_everything(self) -> None:
        container = {"securityContext": LOCKED, "resources": RESOURCES}
        whole = sensor(securityContext=POD, container=container)
        assert problems(whole, *SECURITY, "resources", "image_is_fixed", "probes") == []

    def test_the_bus_has_three_containers(self) -> None:
        container = {"securityContext": LOCKED, "resources": RESOURCES}
        parts = ("containerTemplate", "reloaderContainerTemplate", "metricsContainerTemplate")
        jetstream = {"version": "2.10", "securityContext": POD} | dict.fromkeys(parts, container)
        found = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus"}
        found |= {"metadata": metadata("default"), "spec": {"jetstream": jetstream}}
        assert problems(Bundle("example", [found]), *SECURITY, "resources") == []
        for part in parts:
            broken = copy.deepcopy(found)
            del broken["spec"]["jetstream"][part]
            for rule in ("read_only_root", "resources"):
                assert problems(Bundle("example", [broken]), rule)

    @pytest.mark.parametrize("rule", [*(r for r in SECURITY if r != "user"), "resources"])
    def test_no_template(self, rule: str) -> None:
        assert problems(sensor(), rule)
