"""Whether a process is still there, told from its name alone."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

import pytest

from cfcre.errors import ConfigurationError
from cfcre.operations.owner import OWNER_VARIABLE, Owner, acting_owner, current_owner

CHILD = """
from cfcre.operations.owner import OWNER_VARIABLE, current_owner
print(current_owner().to_env()[OWNER_VARIABLE], flush=True)
input()
"""


def test_this_process_lives() -> None:
    assert current_owner().alive() is True
    assert current_owner() == current_owner()


@pytest.mark.kill
def test_a_killed_process_is_dead_before_and_after_it_is_reaped() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdin is not None
    owner = Owner.from_env({OWNER_VARIABLE: child.stdout.readline()})
    assert owner is not None and owner.pid == child.pid
    assert owner.alive() is True
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    assert owner.alive() is False
    child.wait()
    assert owner.alive() is False
    child.stdin.close()
    child.stdout.close()


def test_the_same_number_with_another_start_or_boot_is_another_process() -> None:
    me = current_owner()
    assert dataclasses.replace(me, pid_started="1").alive() is False
    assert dataclasses.replace(me, boot_id="another").alive() is False


def test_other_hosts_and_namespaces_can_not_be_seen() -> None:
    me = current_owner()
    assert dataclasses.replace(me, host="elsewhere", pid=1).alive() is None
    assert dataclasses.replace(me, pid_namespace="pid:[1]", pid_started="1").alive() is None


def test_without_proc_a_living_number_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from cfcre.operations import owner as module

    monkeypatch.setattr(module, "_PROC", Path("/nowhere"))
    me = current_owner()
    assert (me.boot_id, me.pid_started, me.pid_namespace) == ("", "", "")
    assert me.alive() is True


def test_the_environment_carries_an_owner() -> None:
    me = current_owner()
    other = dataclasses.replace(me, pid=1)
    assert Owner.from_env(other.to_env()) == other
    assert acting_owner(other.to_env()) == other
    assert acting_owner({}) == me
    assert Owner.from_json(me.to_json()) == me


@pytest.mark.parametrize(
    "text", ["host/1/2", "[]", "{}", '{"host":"h","boot_id":"","pid":0,"pid_started":""}']
)
def test_a_broken_environment_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Owner.from_env({OWNER_VARIABLE: text})
