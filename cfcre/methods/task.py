"""One task on a learner in memory: the four learning steps, and all of them in a row."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cfcre.config import Settings
from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError, StateError
from cfcre.methods.base import Session
from cfcre.methods.memory import update_memory
from cfcre.methods.registry import get_method
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Progress, no_progress

__all__ = ["augment_task", "consolidate_task", "learn_task", "remember_task", "start_task"]

# Part of the seed of each step.
_AUGMENT, _TRAIN, _SELECT, _CONSOLIDATE = range(4)

Examples = Sequence[RelationExample]


def augment_task(train: Examples, settings: Settings, task: int) -> list[RelationExample]:
    """Auxiliary examples of phase one, as the method wants them."""
    return get_method(settings.method.name).augment(train, Session(settings, task, _AUGMENT))


def start_task(
    state: LearnerState,
    train: Examples,
    augmented: Examples,
    settings: Settings,
    lineage: Mapping[str, Any],
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Phase one: the catalogue grows by the new relations, in sorted order, and they are learned.

    Raises:
        ConfigurationError: The encoder's settings are not those the stream was started with.
    """
    started = time.perf_counter()
    if state.tasks:
        _same_encoder(state, settings)
    session = Session(settings, len(state.tasks) + 1, _TRAIN, progress)
    present = sorted({e.relation for e in train})
    known = set(state.catalogue)
    new = [relation for relation in present if relation not in known]
    state.catalogue += new
    state.tasks.append(
        {
            "task": session.task,
            "batch": lineage["batch"],
            "batch_name": lineage["batch_name"],
            "relations": present,
        }
    )
    state.lineage = dict(lineage)
    if _method_before(state) != settings.method.name:
        # Another method's tensors mean nothing to this one, and would travel along for ever.
        state.extras = {}
    state.settings = settings.portable()
    get_method(settings.method.name).train_task(state, train, augmented, session)
    session.group.check_replicas(state.tensors())
    state.prototypes = None
    return {**_facts(session, started), "new_relations": new}


def remember_task(
    state: LearnerState, train: Examples, settings: Settings, progress: Progress = no_progress
) -> dict[str, Any]:
    """Choose the memory of the task's relations; known ones over old memory and new examples."""
    started = time.perf_counter()
    session = Session(settings, len(state.tasks), _SELECT, progress)
    method = get_method(settings.method.name)
    if method.uses_memory:
        size = None if method.keeps_everything else settings.memory.size
        update_memory(state, train, session, size=size)
    return {**_facts(session, started), "memory": len(state.memory)}


def consolidate_task(
    state: LearnerState, train: Examples, settings: Settings, progress: Progress = no_progress
) -> dict[str, Any]:
    """Phase two, and the prediction prototypes.

    Raises:
        StateError: The prototypes are not finite.
    """
    started = time.perf_counter()
    session = Session(settings, len(state.tasks), _CONSOLIDATE, progress)
    method = get_method(settings.method.name)
    state.rule = method.rule
    method.consolidate(state, train, session)
    if state.prototypes is None or not bool(torch.isfinite(state.prototypes).all()):
        raise StateError("consolidation gave prototypes that are not finite")
    session.group.check_replicas([*state.tensors(), state.prototypes])
    return _facts(session, started)


def learn_task(
    state: LearnerState, train: Examples, settings: Settings, lineage: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """All learning steps of a task in memory, as the pipeline runs them one by one.

    Returns:
        The facts of each step by stage name.
    """
    augmented = augment_task(train, settings, len(state.tasks) + 1)
    return {
        "train_task": start_task(state, train, augmented, settings, lineage),
        "select_memory": remember_task(state, train, settings),
        "consolidate": consolidate_task(state, train, settings),
    }


def _facts(session: Session, started: float) -> dict[str, Any]:
    return {
        "task": session.task,
        "losses": session.log.losses,
        "steps": session.log.steps,
        "seconds": time.perf_counter() - started,
    }


def _method_before(state: LearnerState) -> str | None:
    before: dict[str, Any] = state.settings.get("method", {})
    return before.get("name")


def _same_encoder(state: LearnerState, settings: Settings) -> None:
    before = state.settings["encoder"]["name"]
    if before != settings.encoder.name:
        raise ConfigurationError(
            f"the stream was started with encoder.name={before!r}, now it is "
            f"{settings.encoder.name!r}; set it back, or start a new stream"
        )
