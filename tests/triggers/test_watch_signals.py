"""The service ends with the first signal, also where Python loses the interrupt."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from cfcre.cli.watch import _Told
from cfcre.operations.reconciler import ReconcileReport
from cfcre.operations.watch import Hooks, watch


class _Hears:
    """Hears a signal in its finaliser, whose exceptions Python prints and drops."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_lost_in_a_finaliser_ends_the_loop(number: int) -> None:
    wake, turns = threading.Event(), []

    def step(skipped: frozenset[str]) -> ReconcileReport:
        turns.append(_Hears(number))
        turns[-1] = None  # the finaliser runs here
        return ReconcileReport()

    with _Told() as told:
        told.wakes(wake)
        # Without the memory of the signal the pause would take an hour.
        watch(step, mode="interval", interval_seconds=3600, stop=told.stop, hooks=Hooks(wake=wake))
    assert told.number == number and len(turns) == 1


def test_a_second_signal_does_not_cut_the_end_off() -> None:
    released = []
    with _Told() as told:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            released.append(True)
    assert told.number == signal.SIGTERM and released


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with _Told() as told:
        assert signal.getsignal(signal.SIGINT) not in before
    assert told.number is None
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_another_fault_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="fault"), _Told():
        raise ValueError("fault")
