"""The learning steps of one task on state directories: what pipeline stages call.

Each step reads a directory, changes the learner, and writes a new directory; nothing is shared in
memory, so each can run in its own process, on its own machine, and be run again after a kill.
Several processes of one group may run a step together: one of them writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.methods.state import LearnerState
from cfcre.methods.task import augment_task, consolidate_task, remember_task, start_task
from cfcre.methods.training import Progress, no_progress
from cfcre.modeling.parallel import current_group

__all__ = ["augment", "consolidate", "select_memory", "train_task"]


def augment(
    train: Sequence[RelationExample], settings: Settings, *, task: int = 1
) -> list[RelationExample]:
    """Auxiliary examples of phase one, as the method wants them.

    Args:
        train: D_k.
        settings: ``augmentation``, ``method.name`` and ``seed`` are used.
        task: 1-based index; part of the seed.
    """
    return augment_task(train, settings, task)


def train_task(
    state_in: Path | None,
    train: Sequence[RelationExample],
    augmented: Sequence[RelationExample],
    out: Path,
    settings: Settings,
    *,
    lineage: Mapping[str, Any],
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Phase one of a task.

    Args:
        state_in: Parent state; None for the first task of a stream.
        train: D_k.
        augmented: From :func:`augment`.
        out: Directory to write.
        settings: All settings.
        lineage: At least ``batch`` and ``batch_name``; stored with the state.
        progress: Told after each training step.

    Returns:
        ``losses``, ``steps``, ``seconds``, ``task`` and ``new_relations``.

    Raises:
        StateError: The parent cannot be read.
        ConfigurationError: The encoder's settings are not the parent's.
    """
    state = LearnerState.fresh(settings) if state_in is None else LearnerState.load(state_in)
    facts = start_task(state, train, augmented, settings, lineage, progress)
    _save(state, out)
    return facts


def select_memory(
    state_in: Path,
    train: Sequence[RelationExample],
    out: Path,
    settings: Settings,
    *,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Choose the memory of the task's relations.

    Raises:
        StateError: The state cannot be read.
    """
    state = LearnerState.load(state_in)
    facts = remember_task(state, train, settings, progress)
    _save(state, out)
    return facts


def consolidate(
    state_in: Path,
    train: Sequence[RelationExample],
    out: Path,
    settings: Settings,
    *,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Phase two of a task, and the prediction prototypes.

    Raises:
        StateError: The state cannot be read, or the result is not finite.
    """
    state = LearnerState.load(state_in)
    facts = consolidate_task(state, train, settings, progress)
    _save(state, out)
    return facts


def _save(state: LearnerState, out: Path) -> None:
    group = current_group()
    if group.leads:
        state.save(out)
    # No process is done before the state is there.
    group.wait()
