"""What a task gets on a cluster: identity, limits, retries, volumes, secrets, a GPU's node.

Left out where the pipeline runs on one machine: ``kfp.local`` would put the container's variables
into the processes there, and their home is not the container's.

kfp can not say everything that a pod may need. The IR's resources have no ephemeral storage, so
scratch space is a volume with a size; ``set_security_context`` knows user, group and non-root,
while Kubeflow's own compiler adds what else the restricted pod-security level asks for (no
privilege escalation, no capabilities, the runtime's seccomp profile). A read-only root file system
can not be asked for: every path that a stage writes to is a volume, so an admission policy may.
"""

# No "from __future__ import annotations" here: see continual_learning.py.
from kfp import dsl, kubernetes

from cfcre.config import KubeflowSettings, PipelineSettings

__all__ = ["HOME", "equip", "place_on_gpu"]

HOME = "/var/lib/cfcre"
"""Home of every container; also in the manifests of the other pods."""
_TEMPORARY = "/tmp"  # noqa: S108 - a volume of the pod's own


def equip(
    task: dsl.PipelineTask,
    options: PipelineSettings,
    kubeflow: KubeflowSettings,
    *,
    training: bool = False,
) -> dsl.PipelineTask:
    """Give a task what every task has on a cluster.

    Args:
        task: The task.
        options: Sizes, times and identity.
        kubeflow: Names of the cluster's ConfigMap and secrets.
        training: Whether the longer time and the larger disk of training apply.
    """
    kubernetes.set_security_context(
        task,
        run_as_user=options.run_as_user,
        run_as_group=options.run_as_group,
        run_as_non_root=True,
    )
    seconds = options.train_timeout_seconds if training else options.timeout_seconds
    kubernetes.set_timeout(task, seconds=seconds)
    task.set_retry(
        num_retries=options.pod_retries,
        backoff_duration=f"{options.pod_retry_seconds}s",
        backoff_factor=2.0,
        backoff_max_duration=f"{_retry_window(options, seconds)}s",
    )
    _add_volumes(task, options, training=training)
    _add_environment(task, kubeflow)
    return task


def place_on_gpu(task: dsl.PipelineTask, options: PipelineSettings) -> dsl.PipelineTask:
    """Let a task run on nodes with the wanted GPU, and tolerate that they are kept for such tasks.

    Args:
        task: The task.
        options: Node labels and the taint's key.
    """
    for label, value in options.gpu_node_selector.items():
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    kubernetes.add_toleration(
        task, key=options.gpu_toleration_key, operator="Exists", effect="NoSchedule"
    )
    return task


def _retry_window(options: PipelineSettings, seconds: int) -> int:
    """How long after its first start a task may be started again, in seconds.

    That is what kfp's ``backoff_max_duration`` means, not the longest pause: with its default of an
    hour, a training pod that lost its node in the second hour would not be started again.
    """
    pauses = options.pod_retry_seconds * (2**options.pod_retries - 1)
    return seconds * (options.pod_retries + 1) + pauses


def _add_volumes(task: dsl.PipelineTask, options: PipelineSettings, *, training: bool) -> None:
    size = options.train_storage if training else options.storage
    if training and options.train_storage_class is not None:
        # A claim of its own is the one way in which kfp reserves disk for a pod.
        kubernetes.add_ephemeral_volume(
            task,
            volume_name="cfcre-home",
            mount_path=HOME,
            access_modes=["ReadWriteOnce"],
            size=size,
            storage_class_name=options.train_storage_class,
        )
    else:
        kubernetes.empty_dir_mount(task, volume_name="cfcre-home", mount_path=HOME, size_limit=size)
    kubernetes.empty_dir_mount(
        task, volume_name="cfcre-tmp", mount_path=_TEMPORARY, size_limit=size
    )


def _add_environment(task: dsl.PipelineTask, kubeflow: KubeflowSettings) -> None:
    task.set_env_variable("CFCRE_HOME", HOME)
    task.set_env_variable("TMPDIR", _TEMPORARY)
    # Libraries that keep caches look for the user's home, which a read-only root does not have.
    task.set_env_variable("HOME", HOME)
    task.set_env_variable("GX_ANALYTICS_ENABLED", "false")
    kubernetes.use_config_map_as_env(
        task,
        kubeflow.connections,
        {"CFCRE_STORE": "CFCRE_STORE", "MLFLOW_TRACKING_URI": "MLFLOW_TRACKING_URI"},
    )
    # AWS needs no endpoint: this key alone may be missing.
    kubernetes.use_config_map_as_env(
        task,
        kubeflow.connections,
        {"CFCRE_STORE_ENDPOINT": "CFCRE_STORE_ENDPOINT"},
        optional=True,
    )
    kubernetes.use_secret_as_env(task, kubeflow.ledger_secret, {"url": "CFCRE_LEDGER"})
    if kubeflow.s3_secret is not None:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        kubernetes.use_secret_as_env(task, kubeflow.s3_secret, {key: key for key in keys})
    if kubeflow.mlflow_secret is not None:
        kubernetes.use_secret_as_env(
            task,
            kubeflow.mlflow_secret,
            {"username": "MLFLOW_TRACKING_USERNAME", "password": "MLFLOW_TRACKING_PASSWORD"},
        )
