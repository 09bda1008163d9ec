"""Which launcher starts the runs of the pipeline: this machine, or Kubeflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cfcre.operations.local_run import LocalLauncher, RunResult

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.events import Event
    from cfcre.operations.reconciler import Launcher

__all__ = ["open_launcher"]


def open_launcher(
    settings: Settings,
    *,
    on_start: Callable[[str, str], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_end: Callable[[str, str, RunResult], None] | None = None,
) -> Launcher:
    """The launcher that ``pipeline.launcher`` names.

    Args:
        settings: Settings of the runs.
        on_start: Told the stream and the batch before a run.
        on_event: Told what the stages of a local run report, and the name of a submitted run.
        on_end: Told the result of a local run.
    """
    if settings.pipeline.launcher == "kubeflow":
        from cfcre.operations.kubeflow.launcher import KubeflowLauncher

        return KubeflowLauncher(settings, on_start=on_start, on_event=on_event)
    return LocalLauncher(settings, on_start=on_start, on_event=on_event, on_end=on_end)
