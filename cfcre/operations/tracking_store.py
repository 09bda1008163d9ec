"""Opening the tracker of a home, whose embedded store is made whole or not at all.

MLflow creates a fresh SQLite store by some fifty migrations. A process killed in the middle leaves
a database that no later process can open or repair, so the store is made under a temporary name
and gets its own when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from cfcre.config import Settings
from cfcre.tracking.kinds import RELATIONS, ModelKind

if TYPE_CHECKING:
    from cfcre.tracking.client import Tracker

__all__ = ["open_tracker"]


def open_tracker(settings: Settings, kind: ModelKind = RELATIONS) -> Tracker:
    """The tracker, over a store that exists.

    Args:
        settings: Where home, store and experiment are.
        kind: Which of the home's registered models is meant.

    Raises:
        ConfigurationError: The store can not be used; the message says why.
        TrackingUnavailable: MLflow did not answer.
    """
    from cfcre.tracking.client import Tracker

    if settings.tracking.uri is None:
        database = settings.home.absolute() / "mlflow.db"
        if not database.exists():
            _create(settings, database)
    return Tracker(settings, kind)


def _create(settings: Settings, database: Path) -> None:
    from cfcre.tracking.client import Tracker

    partial = database.with_name(f".mlflow.{uuid.uuid4().hex[:12]}.partial")
    changes = {"uri": f"sqlite:///{partial}", "artifact_root": settings.artifact_root}
    tracking = settings.tracking.model_copy(update=changes)
    try:
        # The first question to a store creates its tables.
        Tracker(settings.model_copy(update={"tracking": tracking})).versions()
        # Not rename(): where two processes meet, the first store stays.
        with contextlib.suppress(FileExistsError):
            os.link(partial, database)
    finally:
        for leftover in database.parent.glob(f"{partial.name}*"):
            leftover.unlink(missing_ok=True)
