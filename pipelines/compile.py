"""Compile the pipelines to KFP's intermediate representation."""

from __future__ import annotations

from pathlib import Path

from kfp import compiler

from cfcre.config import PipelineSettings
from cfcre_pipelines.continual_learning import build

__all__ = ["compile_pipeline"]


def compile_pipeline(out: Path, options: PipelineSettings) -> Path:
    """Write ``continual-learning`` as YAML: the IR, then the Kubernetes platform spec.

    Args:
        out: Target file, ``.yaml``.
        options: Image, GPU and resource requests of the components.

    Returns:
        The file written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(build(options), package_path=str(out))
    return out
