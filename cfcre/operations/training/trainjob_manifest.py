"""The TrainJob of one learning step: its name, and the object itself."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfcre.config import Settings
from cfcre.operations.training.job import Step

__all__ = ["API_VERSION", "INPUT_ANNOTATION", "job_name", "train_job"]

API_VERSION = "trainer.kubeflow.org/v1alpha1"
INPUT_ANNOTATION = "cfcre.io/input-digest"

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# The JobSet's pods are called NAME-node-0-0; Kubernetes allows 63 characters for that.
_SLUG = 24


def job_name(step: Step, run_name: str, token: int) -> str:
    """Name of the TrainJob: the same for every try of one attempt's step, another otherwise.

    Args:
        step: The step.
        run_name: Name of the attempt (:attr:`Claim.run_name`).
        token: Its fencing token.

    Returns:
        A DNS label of at most 41 characters: readable at the front, a hash at the end.
    """
    digest = hashlib.sha256(f"{run_name}\n{token}\n{step}".encode()).hexdigest()[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{step.split('_')[0]}-{run_name}".lower())
    return f"cfcre-{slug[:_SLUG].strip('-')}-{digest}"


def train_job(
    name: str,
    key: str,
    digest: str,
    settings: Settings,
    *,
    annotations: Mapping[str, str],
    environ: Mapping[str, str] = os.environ,
    namespace_file: Path = NAMESPACE_FILE,
) -> dict[str, Any]:
    """The object to create.

    Args:
        name: From :func:`job_name`.
        key: The job's prefix in the object store.
        digest: Of its input.
        settings: ``trainjob``, image and resources of ``pipeline``, processes of ``compute``.
        annotations: For people: run, stream, step.
        environ: ``KFP_POD_NAME`` and ``KFP_POD_UID`` of the component that waits, where Kubeflow
            set them: the TrainJob is garbage once that pod is deleted.
        namespace_file: Holds the namespace of that pod. An owner in another namespace counts as
            gone, and Kubernetes would delete the TrainJob.
    """
    options, pipeline = settings.trainjob, settings.pipeline
    resources: dict[str, str] = {
        "cpu": pipeline.train_cpu,
        "memory": pipeline.train_memory,
        "ephemeral-storage": pipeline.train_storage,
    }
    if pipeline.gpu_count:
        resources[pipeline.gpu_resource] = str(pipeline.gpu_count)
    labels = {
        "app.kubernetes.io/name": "cfcre",
        "app.kubernetes.io/component": "training",
        "app.kubernetes.io/managed-by": "cfcre",
    }
    if options.queue:
        labels["kueue.x-k8s.io/queue-name"] = options.queue
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": options.namespace,
        "labels": labels,
        "annotations": {**annotations, INPUT_ANNOTATION: digest},
    }
    pod, uid = environ.get("KFP_POD_NAME"), environ.get("KFP_POD_UID")
    if pod and uid and _content(namespace_file) == options.namespace:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}]
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": {
            "activeDeadlineSeconds": options.timeout_seconds,
            "runtimeRef": {
                "apiGroup": API_VERSION.split("/")[0],
                "kind": options.runtime_kind,
                "name": options.runtime,
            },
            "trainer": {
                "image": pipeline.image,
                "numNodes": options.nodes,
                "numProcPerNode": settings.compute.processes,
                "command": ["python3", "-m", "torch.distributed.run"],
                # Nodes, processes a node and the meeting point come as PET_* from the runtime.
                "args": [
                    "--max-restarts=0",
                    "-m",
                    "cfcre.operations.training.worker",
                    f"--store-key={key}",
                    f"--input-digest={digest}",
                    f"--timeout={settings.compute.collective_timeout_seconds}",
                ],
                "resourcesPerNode": {"requests": resources, "limits": dict(resources)},
            },
        },
    }


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
