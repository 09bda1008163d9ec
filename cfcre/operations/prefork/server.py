"""The process that has the heavy packages loaded and forks itself for a stage.

Started by :func:`start`, which hands it the listening socket: clients wait in the socket's queue
while it imports a module. It is single-threaded, so that a fork is a whole process; it
ends with its parent, and its forks end with it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfcre.operations.prefork.client import LENGTH, STARTED, STATUS, address

__all__ = ["PRELOADED", "main", "start", "supported"]

PRELOADED = (
    "kfp.dsl.executor_main",
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
    "sklearn.cluster",
    "cfcre.operations.stages.train_task",
    "cfcre.methods",
    "cfcre.modeling.encoder",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.pyfunc",
    "matplotlib.pyplot",
    "cfcre.operations.stages.evaluate",
    "cfcre.operations.stages.register",
)
"""Modules that the server imports while nobody waits, in the order in which they are needed.

One that is missing is the stage's to report, in its words."""

_PARENT_SECONDS = 0.5
_REQUEST_SECONDS = 10.0
_MAX_REQUEST = 64 << 20
_PR_SET_PDEATHSIG = 1
_CREDENTIALS = struct.Struct("3i")


def supported() -> bool:
    """Whether this system can: forks that die with the server and a peer's identity are Linux's."""
    return sys.platform == "linux"


def start(run_dir: Path, preloaded: Sequence[str] = PRELOADED) -> subprocess.Popen[bytes]:
    """Start the server of a run; clients may connect at once.

    Args:
        run_dir: The run's folder, which gets the socket; readable by its owner only.
        preloaded: Modules that it imports.

    Raises:
        OSError: The socket or the process cannot be made.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with address(run_dir) as name:
            mask = os.umask(0o177)
            try:
                listening.bind(name)
            finally:
                os.umask(mask)
        listening.listen(8)
        command = [sys.executable, "-m", __name__, "--socket", str(listening.fileno())]
        # Told by number: the parent may be gone before the server can ask who it is.
        command += ["--parent", str(os.getpid()), *preloaded]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
            # With it, kfp loads what a component needs and leaves its compiler out.
            env={**os.environ, "_KFP_RUNTIME": "true"},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the parent is gone.

    Args:
        arguments: Command-line arguments; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="cfcre.operations.prefork.server")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("modules", nargs="*")
    given = parser.parse_args(arguments)
    return _Server(socket.socket(fileno=given.socket), given.parent, given.modules).run()


class _Server:
    """Accepts, forks, waits.

    Args:
        listening: The listening socket.
        parent: Process number of the launcher.
        modules: To import between requests.
    """

    def __init__(self, listening: socket.socket, parent: int, modules: Sequence[str]) -> None:
        self._listening = listening
        self._parent = parent
        self._modules = list(modules)
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def run(self) -> int:
        """Serve; the exit code, of this process or of the fork that it has become."""
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while os.getppid() == self._parent:
            waiting = self._selector.select(0 if self._modules else _PARENT_SECONDS)
            if not waiting and self._modules:
                self._preload(self._modules.pop(0))
            for key, _ in waiting:
                if key.fileobj is self._listening:
                    request = self._accept()
                    if request is not None:
                        return _run_component(request)
                elif key.fileobj is self._woken:
                    with contextlib.suppress(BlockingIOError):
                        self._woken.recv(4096)
                elif isinstance(key.fileobj, socket.socket):
                    self._client_gone(key.fileobj)
            self._reap()
        return 0

    def _preload(self, name: str) -> None:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
        # Collections in the forks leave these objects, and the pages they are on, alone.
        gc.collect()
        gc.freeze()

    def _accept(self) -> Sequence[str] | None:
        """Fork for the next client: its arguments in the fork, None in the server."""
        connection, _ = self._listening.accept()
        try:
            request, streams = _receive(connection)
        except (OSError, ValueError) as error:
            # The client then starts the stage as an ordinary process.
            sys.stderr.write(f"prefork: a request was not understood: {error!r}\n")
            connection.close()
            return None
        server = os.getpid()
        child = os.fork()
        if child == 0:
            connection.close()
            self._become(request, streams, server)
            arguments: list[str] = request["arguments"]
            return arguments
        for stream in streams:
            os.close(stream)
        self._children[child] = connection
        self._selector.register(connection, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            connection.sendall(STARTED)
        return None

    def _become(self, request: Mapping[str, Any], streams: Sequence[int], server: int) -> None:
        """In the fork: be the process that the client stands for."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(-signal.SIGKILL & 0xFF)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._listening, self._woken, self._wake, *self._children.values()):
            end.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])

    def _client_gone(self, connection: socket.socket) -> None:
        """Kill the fork of a client that was killed."""
        self._selector.unregister(connection)
        for child, other in self._children.items():
            if other is connection:
                os.kill(child, signal.SIGKILL)

    def _reap(self) -> None:
        """Tell the clients of ended forks how they ended."""
        while self._children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            connection = self._children.pop(child)
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            connection.close()


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A client's request and its three streams.

    Raises:
        OSError: The client is another user's, too slow, or gone.
        ValueError: It is no request.
    """
    connection.settimeout(_REQUEST_SECONDS)
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(raw)[1] != os.getuid():
        raise PermissionError("it comes from another user")
    head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    try:
        (length,) = LENGTH.unpack(head)
        if len(streams) != 3 or length > _MAX_REQUEST:
            raise ValueError(f"{len(streams)} streams and {length} bytes")
        body = bytearray()
        while len(body) < length:
            more = connection.recv(length - len(body))
            if not more:
                raise ConnectionError("the client is gone")
            body += more
        request = _understood(json.loads(body))
    except (OSError, ValueError, struct.error) as error:
        for stream in streams:
            os.close(stream)
        raise ValueError(str(error)) from error
    connection.settimeout(None)
    return request, streams


def _understood(request: object) -> dict[str, Any]:
    """The request's parts, each of its type; ValueError where one is not."""
    parts = {"arguments": list, "folder": str, "environment": dict}
    if not isinstance(request, dict):
        raise ValueError(f"a {type(request).__name__} where an object belongs")
    for name, kind in parts.items():
        if not isinstance(request.get(name), kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    texts = [*request["arguments"], *request["environment"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("arguments and environment hold text only")
    return {name: request[name] for name in parts}


def _run_component(arguments: Sequence[str]) -> int:
    """What ``python -m kfp.dsl.executor_main`` does with the arguments; the exit code."""
    sys.argv = list(arguments[1:])
    from kfp.dsl.executor_main import executor_main

    try:
        executor_main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
