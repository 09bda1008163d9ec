"""Who holds a claim: a process, named so that another process can tell whether it is still there.

A process number alone is not a name: numbers are used again, after a restart of the machine above
all. Host, boot, process number and the process's start time together are.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cfcre.errors import ConfigurationError

__all__ = ["OWNER_VARIABLE", "Owner", "acting_owner", "current_owner"]

OWNER_VARIABLE = "CFCRE_OWNER"
"""Set by a launcher for its component processes, which then claim and renew in its name."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process that holds a claim.

    Attributes:
        host: Host name.
        boot_id: Identifier of the host's boot; empty where the system has none.
        pid: Process number.
        pid_started: Start time of the process in the system's own unit; empty where unknown.
        pid_namespace: PID namespace; the same number means another process in another one.
    """

    host: str
    boot_id: str
    pid: int
    pid_started: str
    pid_namespace: str = ""

    def alive(self) -> bool | None:
        """Whether the process still runs.

        Returns:
            True or False where it can be told, None for a process of another host or of another
            PID namespace: only its lease can then say.
        """
        if self.host != socket.gethostname():
            return None
        boot_id = _boot_id()
        if self.boot_id and boot_id and self.boot_id != boot_id:
            return False
        if self.pid_namespace != _pid_namespace():
            return None
        return _process_runs(self.pid, self.pid_started)

    def to_json(self) -> dict[str, str | int]:
        """A JSON-able mapping, see :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Owner:
        """Read what :meth:`to_json` wrote.

        Raises:
            ConfigurationError: A field is missing or has the wrong type.
        """
        try:
            owner = cls(
                host=str(data["host"]),
                boot_id=str(data["boot_id"]),
                pid=int(str(data["pid"])),
                pid_started=str(data["pid_started"]),
                pid_namespace=str(data.get("pid_namespace", "")),
            )
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"an owner has host, boot_id, pid and pid_started; {error!r} in what was given"
            ) from error
        # os.kill() reads zero and negative numbers as process groups, not as one process.
        if owner.pid <= 0:
            raise ConfigurationError(f"an owner's pid is a positive number, got {owner.pid}")
        return owner

    def to_env(self) -> dict[str, str]:
        """Environment entries that make a subprocess act for this owner."""
        return {OWNER_VARIABLE: json.dumps(self.to_json(), sort_keys=True)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Owner | None:
        """The owner named by the environment, or None.

        Raises:
            ConfigurationError: The variable is set but holds no owner.
        """
        text = environ.get(OWNER_VARIABLE)
        if not text:
            return None
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(
                f"{OWNER_VARIABLE} is not JSON ({error}); it is set by the launcher, unset it"
            ) from error
        if not isinstance(data, dict):
            raise ConfigurationError(f"{OWNER_VARIABLE} is not a JSON object; unset it")
        return cls.from_json(data)


def current_owner() -> Owner:
    """This process."""
    pid = os.getpid()
    return Owner(
        host=socket.gethostname(),
        boot_id=_boot_id(),
        pid=pid,
        pid_started=_stat(pid)[1],
        pid_namespace=_pid_namespace(),
    )


def acting_owner(environ: Mapping[str, str] = os.environ) -> Owner:
    """The owner named by the environment (the launcher), else this process.

    Raises:
        ConfigurationError: The environment names no valid owner.
    """
    return Owner.from_env(environ) or current_owner()


def _process_runs(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It exists and belongs to somebody else.
    state, start = _stat(pid)
    # A zombie has ended; only its parent has not asked yet.
    if state in {"Z", "X"}:
        return False
    return not (started and start) or started == start


def _stat(pid: int) -> tuple[str, str]:
    """State letter and start time of a process; empty where the system does not tell."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    # The second field is the command in parentheses and may hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""
