"""The pipeline on Kubeflow, and training on the nodes of a TrainJob."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from cfcre.config.section import Section

__all__ = [
    "KubeflowSettings",
    "PipelineSettings",
    "TrainJobSettings",
]

_QUANTITY = r"^[1-9][0-9]*(Mi|Gi|Ti)$"
_TOKEN_FILE = Path("/var/run/secrets/kubeflow/pipelines/token")


class PipelineSettings(Section):
    """The Kubeflow pipeline."""

    launcher: Literal["local", "kubeflow"] = Field(
        "local", description="Who runs a batch that 'cfcre watch' finds: this machine or Kubeflow."
    )
    image: str = Field("ghcr.io/cfcre/cfcre-python:0.1.0", description="Image of the components.")
    gpu_resource: str = Field("nvidia.com/gpu")
    gpu_count: int = Field(1, ge=0, description="GPUs of the two training components.")
    gpu_node_selector: dict[str, str] = Field(
        default_factory=lambda: {"nvidia.com/gpu.present": "true"}
    )
    gpu_toleration_key: str = Field("nvidia.com/gpu")
    training: Literal["pod", "trainjob"] = Field(
        "pod", description="Train in the component's own pod, or on the nodes of a TrainJob."
    )
    train_memory: str = Field("8Gi", pattern=_QUANTITY)
    train_cpu: str = Field("2")
    train_storage: str = Field(
        "20Gi", pattern=_QUANTITY, description="Scratch disk of a training pod: home and /tmp each."
    )
    train_storage_class: str | None = Field(
        None,
        description="Storage class that a training pod's home is claimed from; null: node's disk.",
    )
    storage: str = Field(
        "5Gi", pattern=_QUANTITY, description="Scratch disk of any other pod: home and /tmp each."
    )
    run_as_user: int = Field(10001, ge=1, description="User id of every container; never root.")
    run_as_group: int = Field(10001, ge=1, description="Group id of every container.")
    timeout_seconds: int = Field(
        3600, ge=60, description="Longest time that a pod of a stage without training may run."
    )
    train_timeout_seconds: int = Field(86_400, ge=60, description="The same for training pods.")
    run_timeout_seconds: int = Field(
        259_200, ge=60, description="Longest run, pods that nothing can schedule included."
    )
    pod_retries: int = Field(
        2, ge=0, le=10, description="How often Kubeflow starts a stage's pod again that broke down."
    )
    pod_retry_seconds: int = Field(
        30, ge=0, le=3600, description="Wait before the first new pod; doubles."
    )
    stage_retries: int = Field(
        2, ge=0, le=10, description="How often a stage tries again when a service did not answer."
    )
    stage_retry_seconds: float = Field(
        5.0, ge=0, description="Wait before a stage's first new try; doubles."
    )
    keep_runs: int = Field(5, ge=0, description="Finished local run folders kept for debugging.")
    prefork: bool = Field(
        True,
        description="On this machine: load torch once a run and fork the stages from that process.",
    )


class KubeflowSettings(Section):
    """Where Kubeflow Pipelines is, and what its pods get from the cluster."""

    host: str = Field(
        "http://ml-pipeline.kubeflow.svc.cluster.local:8888",
        pattern=r"^https?://[^@\s]+$",
        description="Address of the Kubeflow Pipelines API; never with credentials in it.",
    )
    ui_url: str | None = Field(
        None, description="Address of the Kubeflow UI, for links; null means the host."
    )
    namespace: str | None = Field(
        "cfcre", min_length=1, description="Profile's namespace; null for a single-user deployment."
    )
    experiment: str = Field("cfcre", min_length=1, description="Experiment; made where missing.")
    token_file: Path = Field(
        _TOKEN_FILE,
        description="Token for the API, read at every request; the default may be missing.",
    )
    ca_file: Path | None = Field(None, description="CA certificates that the API is checked by.")
    connect_timeout_seconds: float = Field(10.0, gt=0)
    request_timeout_seconds: float = Field(60.0, gt=0)
    retries: int = Field(4, ge=0, description="New tries of an API call that got no good answer.")
    retry_seconds: float = Field(1.0, ge=0, description="Wait before the first of them; doubles.")
    poll_seconds: float = Field(
        15.0, gt=0, description="Pause between two looks of 'cfcre watch' while a run goes on."
    )
    max_unclaimed_runs: int = Field(
        5, ge=1, description="Runs of an attempt that ended without claiming it, before it is told."
    )
    pipeline_root: str | None = Field(
        None, description="Where artifacts go, as s3://bucket/path; null means Kubeflow's default."
    )
    service_account: str = Field("cfcre-pipeline", min_length=1)
    connections: str = Field(
        "cfcre-connections", description="ConfigMap with CFCRE_STORE and MLFLOW_TRACKING_URI."
    )
    ledger_secret: str = Field("cfcre-ledger", description="Secret; key url is CFCRE_LEDGER.")
    s3_secret: str | None = Field(
        "cfcre-s3",
        description="Secret with the S3 keys; null where the service account has access.",
    )
    mlflow_secret: str | None = Field(
        "cfcre-mlflow-client",
        description="Secret with username and password; null where Kubeflow gives them itself.",
    )


class TrainJobSettings(Section):
    """Training on several nodes by Kubeflow Trainer; used with ``pipeline.training: trainjob``."""

    namespace: str = Field(
        "cfcre", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Of the TrainJobs."
    )
    runtime_kind: Literal["TrainingRuntime", "ClusterTrainingRuntime"] = "TrainingRuntime"
    runtime: str = Field("cfcre-torch", min_length=1, description="Name of the runtime.")
    queue: str = Field("cfcre-training", description="Kueue LocalQueue; empty for none.")
    nodes: int = Field(2, ge=1, description="Nodes, with compute.processes on each.")
    poll_seconds: float = Field(5.0, gt=0, description="Between two looks at the TrainJob.")
    queue_timeout_seconds: float = Field(
        21600.0, gt=0, description="Longest wait for the queue and for the pods to start."
    )
    timeout_seconds: int = Field(43200, ge=1, description="Longest run once the pods have started.")
