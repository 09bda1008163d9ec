"""Build a pipeline quickly: kfp looks through the whole call stack at every setting of a task."""

# No "from __future__ import annotations" here: see continual_learning.py.
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kfp import dsl

__all__ = ["build_pipeline"]


def build_pipeline(
    name: str, description: str, function: Callable[..., None], limits: dsl.PipelineConfig | None
) -> Any:
    """Trace a pipeline function, in a thread of its own.

    Each ``set_…`` of a kfp task calls ``inspect.stack()``, which reads the source of every frame:
    some fifty milliseconds within a program or an import, next to nothing on a thread's fresh
    stack.

    Args:
        name: The pipeline's.
        description: What it does, in a sentence.
        function: Declares the tasks.
        limits: Of the run.

    Returns:
        A kfp pipeline.
    """
    decorate = dsl.pipeline(name=name, description=description, pipeline_config=limits)
    with ThreadPoolExecutor(1, thread_name_prefix="build-pipeline") as thread:
        return thread.submit(decorate, function).result()
