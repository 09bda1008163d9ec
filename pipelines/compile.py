"""Compile the pipelines: to KFP's intermediate representation, or to Kubernetes resources."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from cfcre.config import Settings
from cfcre_pipelines.continual_learning import PIPELINE_NAME, build

__all__ = ["compile_manifests", "compile_pipeline", "pipeline_package"]


def compile_pipeline(out: Path, settings: Settings) -> Path:
    """Write ``continual-learning`` as YAML: the IR, then the Kubernetes platform spec.

    Args:
        out: Target file, ``.yaml``.
        settings: Sections ``pipeline`` and ``kubeflow`` are baked in.

    Returns:
        The file written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    pipeline = build(settings.pipeline, settings.kubeflow)
    compiler.Compiler().compile(pipeline, package_path=str(out))
    return out


def compile_manifests(out: Path, settings: Settings) -> str:
    """Write the resources ``Pipeline`` and ``PipelineVersion``, for ``kubectl apply`` or GitOps.

    A version can not be changed once it is on the cluster, so it is named after its content:
    other settings make another version, the same settings the same file.

    Args:
        out: Target file, ``.yaml``.
        settings: As for :func:`compile_pipeline`.

    Returns:
        The version's name.
    """
    package = pipeline_package(settings)
    content = yaml.safe_dump(package, sort_keys=True).encode()
    version = f"{PIPELINE_NAME}-{hashlib.sha256(content).hexdigest()[:12]}"
    out.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        build(settings.pipeline, settings.kubeflow),
        package_path=str(out),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=PIPELINE_NAME,
            pipeline_version_name=version,
            namespace=settings.kubeflow.namespace,
            include_pipeline_manifest=True,
        ),
    )
    return version


def pipeline_package(settings: Settings) -> dict[str, Any]:
    """The compiled pipeline as the Kubeflow API takes it within a run.

    Args:
        settings: As for :func:`compile_pipeline`.

    Returns:
        ``{"pipeline_spec": …, "platform_spec": …}``.
    """
    pipeline = build(settings.pipeline, settings.kubeflow)
    return {
        "pipeline_spec": json_format.MessageToDict(pipeline.pipeline_spec),
        "platform_spec": json_format.MessageToDict(pipeline.platform_spec),
    }
