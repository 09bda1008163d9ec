"""A whole benchmark: all planned runs in one process, finished ones not repeated.

Each finished run is one file in ``runs/`` (:class:`~cfcre.evaluation.run_store.RunStore`); what an
interrupted run has left is in ``unfinished/``. A run is known by what decides its result: the rows,
their order, the seed, the kind of device and arithmetic, the encoder's content, and every setting
of learning that is not the default. Defaults and code change while a benchmark grows; a result made
with another default is run again, one made with other code is marked as such, or run again where
that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout

from cfcre.benchmarking.dataset import Dataset, Selection, Stream, make_stream
from cfcre.benchmarking.learners import Learners
from cfcre.benchmarking.machine import describe_machine, matmul_peak
from cfcre.benchmarking.method_code import method_digest
from cfcre.benchmarking.plan import PlannedRun
from cfcre.benchmarking.running import discard, run_stream
from cfcre.config import Settings
from cfcre.errors import ConfigurationError
from cfcre.evaluation.run_store import RunStore
from cfcre.methods.registry import METHODS
from cfcre.modeling.compute import Compute

__all__ = ["Observer", "RunResult", "Silent", "Study"]

#: Sections of the settings that decide nothing about what is learned and scored here.
_ASIDE = frozenset(
    "home seed store ledger tracking intake gate spans extraction compute stream pipeline trigger "
    "kubeflow serving trainjob".split()
)


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run: What was planned.
        key: Name that belongs to what decides the result; the same in every process.
        records: One a task.
        settings: Settings of learning that it was made with.
        machine: The machine that it was made on.
        code: Digest of the method's code that it was made with.
        other_code: Whether the code of the method is another now.
        before: Whether it was finished before this call.
    """

    run: PlannedRun
    key: str
    records: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    code: str
    other_code: bool
    before: bool


class Observer(Protocol):
    """Told what happens, run by run."""

    def run_started(self, run: PlannedRun, key: str, settings: Settings) -> None:
        """A run begins, or goes on where it was interrupted."""

    def task_done(self, run: PlannedRun, key: str, record: Mapping[str, Any]) -> None:
        """A task of it was learned and scored."""

    def run_done(self, result: RunResult) -> None:
        """A run is finished, now or before."""


class Silent:
    """An observer that tells nobody."""

    def run_started(self, run: PlannedRun, key: str, settings: Settings) -> None:
        """A run begins."""

    def task_done(self, run: PlannedRun, key: str, record: Mapping[str, Any]) -> None:
        """A task is done."""

    def run_done(self, result: RunResult) -> None:
        """A run is done."""


class Study:
    """Runs methods on one data set.

    Args:
        folder: Where results are kept.
        dataset: The data.
        selection: The part of them that is used.
        settings_for: Settings of the benchmark with a variant's assignments over them.
        rerun: Run again what other code has made.
        run_missing: Whether to run what is not finished; otherwise it is passed over.
    """

    def __init__(
        self,
        folder: Path,
        dataset: Dataset,
        selection: Selection,
        settings_for: Callable[[Sequence[str]], Settings],
        *,
        rerun: bool = False,
        run_missing: bool = True,
    ) -> None:
        self._folder = folder
        self._dataset = dataset
        self._selection = selection
        self._settings_for = settings_for
        self._rerun = rerun
        self._run_missing = run_missing
        self._store = RunStore(folder)
        self._learners = Learners()
        self._streams: dict[int, Stream] = {}
        self._machine: dict[str, Any] | None = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder.

        Raises:
            ConfigurationError: One is in it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / "benchmark.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigurationError(
                f"another benchmark writes to {self._folder}; wait for it, or choose another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def stream(self, order: int) -> Stream:
        """The tasks of an order.

        Raises:
            DataError: A relation lacks rows.
        """
        if order not in self._streams:
            self._streams[order] = make_stream(self._dataset, order, self._selection)
        return self._streams[order]

    def settings(self, run: PlannedRun) -> Settings:
        """All settings of a run.

        Raises:
            ConfigurationError: One is wrong.
        """
        variant = run.variant
        return self._settings_for((f"method.name={variant.method}", *variant.assignments))

    def run(self, plan: Sequence[PlannedRun], observer: Observer) -> Iterator[RunResult]:
        """The results of all planned runs, one by one, in their order; what is missing is run.

        Without ``run_missing`` they are the results of those that are finished.

        Raises:
            CfcreError: A run fails; those before it are kept.
        """
        for planned in plan:
            result = self._one(planned, observer)
            if result is not None:
                observer.run_done(result)
                yield result

    def _one(self, planned: PlannedRun, observer: Observer) -> RunResult | None:
        settings = self.settings(planned)
        stream = self.stream(planned.order)
        learning = _learning(settings, planned.variant.method)
        decides = self._decides(stream, settings, learning)
        code = method_digest(planned.variant.method)
        name = f"{planned.variant.method}-order-{planned.order}"
        key = self._store.path(name, decides).stem
        stored = self._store.finished(name, decides)
        if stored is not None and _same_where_both(stored["settings"], learning):
            other = stored["code"] != code
            if not (other and self._rerun):
                return _result(planned, key, stored, other, before=True)
        if not self._run_missing:
            return None
        observer.run_started(planned, key, settings)
        folder = self._folder / "unfinished" / key
        records = run_stream(
            stream,
            settings,
            self._learners,
            folder,
            code=code,
            told=lambda record: observer.task_done(planned, key, record),
        )
        result = {
            "records": records,
            "settings": learning,
            "code": code,
            "machine": self._describe(settings),
        }
        self._store.keep(name, decides, result)
        discard(folder)
        return _result(planned, key, result, False, before=False)

    def _decides(
        self, stream: Stream, settings: Settings, learning: Mapping[str, Any]
    ) -> dict[str, Any]:
        compute = Compute.from_settings(settings.compute)
        encoder = {k: v for k, v in learning["encoder"].items() if k != "name"}
        changed = _changed({**learning, "encoder": encoder}, type(settings)())
        return {
            "dataset": stream.dataset,
            "rows": stream.digest,
            "order": stream.order,
            "tasks": len(stream.tasks),
            "seed": settings.seed,
            # Sums differ in their last digits between kinds of devices and precisions.
            "device": compute.device.type,
            "precision": str(compute.training_dtype).removeprefix("torch."),
            "encoder": self._learners.encoder_digest(settings),
            "changed": changed,
        }

    def _describe(self, settings: Settings) -> dict[str, Any]:
        if self._machine is None:
            compute = Compute.from_settings(settings.compute)
            peaks = {
                name: matmul_peak(compute.device, dtype)
                for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
            }
            self._machine = {**describe_machine(compute), "matmul_peak_flops": peaks}
        return self._machine


def _result(
    planned: PlannedRun, key: str, stored: Mapping[str, Any], other_code: bool, *, before: bool
) -> RunResult:
    return RunResult(
        planned,
        key,
        stored["records"],
        stored["settings"],
        stored["machine"],
        stored["code"],
        other_code,
        before,
    )


def _learning(settings: Settings, method: str) -> dict[str, Any]:
    """Sections of the settings that decide what a method learns.

    Methods have sections of their own, named as they are; those of other methods do not count.
    """
    others = {name.replace("-", "_") for name in METHODS if name != method}
    return settings.model_dump(mode="json", exclude=set(_ASIDE | others))


def _changed(learning: Mapping[str, Any], defaults: Settings) -> dict[str, Any]:
    """Settings that are not the defaults, by dotted name, and the method's name in any case.

    The default method may be another one tomorrow; what was run stays what it was.
    """
    usual = defaults.model_dump(mode="json", include=set(learning))
    return {
        f"{section}.{key}": value
        for section, values in learning.items()
        for key, value in values.items()
        if usual[section].get(key) != value or (section, key) == ("method", "name")
    }


def _same_where_both(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether no setting has another value than before; one that is new or gone has none.

    The encoder's name does not count: its content is part of the run's name.
    """
    for section, values in before.items():
        for key, value in values.items():
            known = now.get(section, {})
            if (section, key) != ("encoder", "name") and key in known and known[key] != value:
                return False
    return True
