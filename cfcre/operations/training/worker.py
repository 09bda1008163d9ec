"""One process of a training, as ``torchrun`` starts it.

::

    torchrun --nproc-per-node 2 -m cfcre.operations.training.worker FOLDER
    torchrun -m cfcre.operations.training.worker --store-key jobs/NAME --input-digest SHA256

The first form runs the job in a folder of this machine (:mod:`cfcre.operations.training.job`). The
second fetches it from the object store, once a node, and puts the result back there: it is what a
TrainJob runs. Process 0 alone writes. A process ends at once, with exit code 75, when the torchrun
above it or the stage above that is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.data.files import write_json
from cfcre.errors import CfcreError, RetryableError
from cfcre.operations.events import EventWriter
from cfcre.operations.owner import Owner
from cfcre.operations.training.failures import describe, write_record
from cfcre.operations.training.job import FACTS_FILE, Job

if TYPE_CHECKING:
    from cfcre.intake.store import ObjectStore

__all__ = ["PARENT_VARIABLE", "main"]

PARENT_VARIABLE = "CFCRE_TRAINING_PARENT"
"""The stage that waits for the result, as :class:`cfcre.operations.owner.Owner` in JSON."""

_LOOK_SECONDS = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job as one process of its group.

    Args:
        arguments: Command-line arguments; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="cfcre.operations.training.worker")
    parser.add_argument("folder", type=Path, nargs="?", help="a job's folder")
    parser.add_argument("--store-key", help="a job's prefix in the object store")
    parser.add_argument("--input-digest", help="what its list of files must have")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    given = parser.parse_args(arguments)
    if (given.folder is None) == (given.store_key is None) or (
        given.store_key is not None and given.input_digest is None
    ):
        parser.error("give a folder, or --store-key with --input-digest")
    _end_with_parents()
    rank = int(os.environ.get("RANK", "0"))
    place = _Place(given.folder, given.store_key, given.input_digest)
    try:
        _run(place, given.timeout)
    except BaseException as error:
        traceback.print_exc()
        place.report(describe(error, rank))
        sys.stderr.flush()
        # Leaving in the usual way would wait for the other processes.
        os._exit(error.exit_code if isinstance(error, CfcreError) else RetryableError.exit_code)
    return 0


class _Place:
    """Where the job comes from and where its result goes."""

    def __init__(self, folder: Path | None, key: str | None, digest: str | None) -> None:
        self._key = key
        self._digest = digest
        self._given = folder
        self._store: ObjectStore | None = None

    @property
    def folder(self) -> Path:
        if self._given is not None:
            return self._given
        from cfcre.config import load_settings

        return load_settings().home.absolute() / "jobs" / str(self._key).rpartition("/")[2]

    def fetch(self) -> None:
        """Bring the job here; called by one process of each node."""
        if self._key is None:
            return
        from cfcre.operations.training.transfer import fetch_input

        shutil.rmtree(self.folder, ignore_errors=True)
        fetch_input(self._open(), self._key, str(self._digest), self.folder)

    def deliver(self, job: Job) -> None:
        """Put the result where the stage finds it; called by process 0."""
        if self._key is None:
            return
        from cfcre.operations.training.transfer import put_result

        put_result(self._open(), self._key, str(self._digest), job)

    def clear(self) -> None:
        """Remove what was fetched."""
        if self._key is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def report(self, record: dict[str, Any]) -> None:
        """Say why this process ends; whoever cannot write is still seen by its exit code."""
        try:
            if self._key is None:
                write_record(self.folder, record)
            else:
                from cfcre.operations.training.transfer import put_error

                put_error(self._open(), self._key, record)
        except Exception:
            traceback.print_exc()

    def _open(self) -> ObjectStore:
        if self._store is None:
            from cfcre.config import load_settings
            from cfcre.intake.store import open_store

            self._store = open_store(load_settings())
        return self._store


def _run(place: _Place, timeout: float) -> None:
    import torch

    from cfcre.modeling.parallel import local_place, process_group

    with process_group(timeout, cuda=torch.cuda.is_available()) as group:
        if local_place()[0] == 0:
            place.fetch()
        group.wait()
        job = Job.read(place.folder)
        group.check_same(job.digest(), "jobs")
        events = EventWriter(place.folder if group.leads else None)

        def progress(phase: str, done: int, total: int) -> None:
            events.write(job.step, "progress", phase=phase, done=done, total=total)

        facts = job.run(progress)
        if group.leads:
            write_json(place.folder / FACTS_FILE, facts)
            place.deliver(job)
        group.wait()
        if local_place()[0] == 0:
            place.clear()


def _end_with_parents() -> None:
    """Leave as soon as torchrun or the stage that started it is gone.

    torchrun gives each process a session of its own, so no signal to a process group of the stage
    reaches them.
    """
    torchrun = os.getppid()
    text = os.environ.get(PARENT_VARIABLE)
    stage = Owner.from_json(json.loads(text)) if text else None

    def look() -> None:
        while os.getppid() == torchrun and (stage is None or stage.alive() is not False):
            time.sleep(_LOOK_SECONDS)
        os._exit(RetryableError.exit_code)

    threading.Thread(target=look, name="cfcre-parents", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
