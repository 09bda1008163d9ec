"""What ``python3`` is to the components of a local run: a stage by the server, or Python itself.

Run as ``python -I -S client.py RUN_DIR PYTHON ARGUMENTS...`` and quick to start for that reason:
the standard library only, and nothing of :mod:`cfcre`. It passes its arguments, environment, folder
and standard streams to the server, waits, and ends as the fork did. If it is killed, the server
kills the fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["EXECUTOR", "LENGTH", "PREFORKED", "SOCKET_FILE", "STARTED", "STATUS", "address", "main"]

SOCKET_FILE = "prefork.sock"
EXECUTOR = "kfp.dsl.executor_main"
"""Module that kfp runs a component by."""
PREFORKED = frozenset(
    {"augment", "train_task", "select_memory", "consolidate", "evaluate", "register"}
)
"""Components that the server starts: those that import torch."""

LENGTH = struct.Struct("!I")
"""Before the request: its length in bytes."""
STARTED = b"+"
"""Server to client: the fork is made. What ends before that may start as an ordinary process."""
STATUS = struct.Struct("!i")
"""Server to client: exit code of the fork, negative for a signal."""


@contextlib.contextmanager
def address(run_dir: Path) -> Iterator[str]:
    """A short name of the run's socket; a socket's own path may have some hundred bytes only."""
    folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_FILE}"
    finally:
        os.close(folder)


def main(arguments: Sequence[str]) -> int:
    """Run a component in a fork of the server; else replace this process by ``PYTHON``.

    Args:
        arguments: The run's folder, the interpreter, and the arguments for it.
    """
    run_dir, python, *rest = arguments
    if _component(rest) in PREFORKED:
        code = _forked(Path(run_dir), rest)
        if code is not None:
            return code
    os.execv(python, [python, *rest])


def _component(arguments: Sequence[str]) -> str | None:
    """Name of the component that the arguments run; None when they do something else."""
    if list(arguments[:2]) != ["-m", EXECUTOR] or "--function_to_execute" not in arguments:
        return None
    at = arguments.index("--function_to_execute") + 1
    return arguments[at] if at < len(arguments) else None


def _forked(run_dir: Path, arguments: Sequence[str]) -> int | None:
    """Exit code of the fork; None where no server made one."""
    request = json.dumps(
        {"arguments": list(arguments), "folder": os.getcwd(), "environment": dict(os.environ)}
    ).encode("ascii")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with address(run_dir) as name:
                connection.connect(name)
            socket.send_fds(connection, [LENGTH.pack(len(request))], [0, 1, 2])
            connection.sendall(request)
            if connection.recv(1) != STARTED:
                return None
        except OSError:
            return None
        answer = b""
        with contextlib.suppress(OSError):
            while len(answer) < STATUS.size and (more := connection.recv(STATUS.size)):
                answer += more
    # Without an answer the server is gone, and its forks with it.
    code: int = STATUS.unpack(answer)[0] if len(answer) == STATUS.size else -9
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
