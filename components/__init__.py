"""Kubeflow components: a typed signature each, and a call into ``cfcre.operations.stages``.

They are lightweight Python components on the project's image: kfp ships the function's source in
the compiled pipeline and the image brings ``cfcre`` itself, so nothing is installed at run time.
The local subprocess runner accepts no other kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kfp import dsl

from cfcre.config import PipelineSettings

IMAGE: str = PipelineSettings().image
"""Image of every component; another one is set at compile time by ``pipeline.image``."""

stage_component: Callable[..., Any] = partial(
    dsl.component, base_image=IMAGE, install_kfp_package=False, packages_to_install=[]
)
"""The decorator of every component here."""

__all__ = ["IMAGE", "stage_component"]
