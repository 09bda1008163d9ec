"""A stage's own retries: the only place where it is still known whether a retry can help.

Kubeflow's launcher turns every exit code of a component into 1, and its retry policy knows none.
So a stage that a service did not answer tries again by itself, a few times; this keeps the work of
the stages before. What is left for Kubeflow's retries are pods that broke down, and a container
that Kubeflow starts again after an error that no retry can help ends at once, see
:func:`cfcre.operations.stages.common.stage`. Beyond both, the ledger decides about another attempt.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cfcre.errors import RetryableError

__all__ = ["retrying"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def retrying(run: Callable[P, T]) -> Callable[P, T]:
    """Call a stage again while it raises :class:`RetryableError`, and nothing else.

    How often and after which pause is in the settings that travel with the run:
    ``pipeline.stage_retries`` and ``pipeline.stage_retry_seconds``, doubling. A stage writes its
    outputs whole or not at all, so it may be called again.

    Args:
        run: The stage's function; takes ``settings`` as a keyword.
    """

    @functools.wraps(run)
    def stage_run(*args: P.args, **given: P.kwargs) -> T:
        from cfcre.operations.stages.common import one_line, stage_settings

        tried = 0
        while True:
            try:
                return run(*args, **given)
            except RetryableError as problem:
                options = stage_settings(str(given["settings"])).pipeline
                if tried >= options.stage_retries:
                    raise
                pause = options.stage_retry_seconds * 2.0**tried
                tried += 1
                log.warning(
                    "%s; trying again in %g s (%d of %d)",
                    one_line(problem),
                    pause,
                    tried,
                    options.stage_retries,
                )
            time.sleep(pause)

    return stage_run
