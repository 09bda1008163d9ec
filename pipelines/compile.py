"""Compile the pipelines: to KFP's intermediate representation, or to Kubernetes resources."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from cfcre.config import KubeflowSettings, PipelineSettings, Settings
from cfcre.config.names import is_documents_stream
from cfcre_pipelines import continual_learning, joint_extraction

__all__ = [
    "PIPELINES",
    "compile_manifests",
    "compile_pipeline",
    "pipeline_of_stream",
    "pipeline_package",
]

PIPELINES: dict[str, Callable[[PipelineSettings, KubeflowSettings | None], Any]] = {
    continual_learning.PIPELINE_NAME: continual_learning.build,
    joint_extraction.PIPELINE_NAME: joint_extraction.build,
}
"""Name to what builds it."""


def pipeline_of_stream(stream: str) -> str:
    """Name of the pipeline that learns a stream's batches."""
    documents = is_documents_stream(stream)
    return joint_extraction.PIPELINE_NAME if documents else continual_learning.PIPELINE_NAME


def compile_pipeline(
    out: Path, settings: Settings, name: str = continual_learning.PIPELINE_NAME
) -> Path:
    """Write a pipeline as YAML: the IR, then the Kubernetes platform spec.

    Args:
        out: Target file, ``.yaml``.
        settings: Sections ``pipeline`` and ``kubeflow`` are baked in.
        name: Which of :data:`PIPELINES`.

    Returns:
        The file written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    pipeline = PIPELINES[name](settings.pipeline, settings.kubeflow)
    compiler.Compiler().compile(pipeline, package_path=str(out))
    return out


def compile_manifests(
    out: Path, settings: Settings, name: str = continual_learning.PIPELINE_NAME
) -> str:
    """Write the resources ``Pipeline`` and ``PipelineVersion``, for ``kubectl apply`` or GitOps.

    A version can not be changed once it is on the cluster, so it is named after its content:
    other settings make another version, the same settings the same file.

    Args:
        out: Target file, ``.yaml``.
        settings: As for :func:`compile_pipeline`.
        name: As for :func:`compile_pipeline`.

    Returns:
        The version's name.
    """
    package = pipeline_package(settings, name)
    content = yaml.safe_dump(package, sort_keys=True).encode()
    version = f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    out.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        PIPELINES[name](settings.pipeline, settings.kubeflow),
        package_path=str(out),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=name,
            pipeline_version_name=version,
            namespace=settings.kubeflow.namespace,
            include_pipeline_manifest=True,
        ),
    )
    return version


def pipeline_package(
    settings: Settings, name: str = continual_learning.PIPELINE_NAME
) -> dict[str, Any]:
    """The compiled pipeline as the Kubeflow API takes it within a run.

    Args:
        settings: As for :func:`compile_pipeline`.
        name: As for :func:`compile_pipeline`.

    Returns:
        ``{"pipeline_spec": …, "platform_spec": …}``.
    """
    pipeline = PIPELINES[name](settings.pipeline, settings.kubeflow)
    return {
        "pipeline_spec": json_format.MessageToDict(pipeline.pipeline_spec),
        "platform_spec": json_format.MessageToDict(pipeline.platform_spec),
    }
