"""The launcher process: runs the pipeline once through ``kfp.local``'s subprocess runner.

Started by :func:`cfcre.operations.local_run.run_pipeline`; its output is the run's log. Exit code
0 means that the run ended green, 1 that a component failed (the ledger knows which and why).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfcre.config.names import is_documents_stream
from cfcre.operations.local_run import read_settings_file
from cfcre.operations.owner import current_owner
from cfcre.operations.prefork import client, server

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline once.

    Args:
        arguments: Command-line arguments; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="cfcre.operations.launch", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--batch", default="")
    given = parser.parse_args(arguments)
    _end_with(os.getppid())
    # The stages look at this process: when it is gone, they stop.
    os.environ.update(current_owner().to_env())
    settings = read_settings_file(given.run_dir)
    prefork = json.loads(settings)["pipeline"]["prefork"] and server.supported()
    _prepare_interpreter(given.run_dir, prefork)
    if prefork:
        try:
            server.start(given.run_dir)
        except OSError as error:
            # Some file systems hold no sockets. Every stage then starts as an interpreter.
            sys.stderr.write(f"prefork: no server, stages start by themselves: {error}\n")

    from kfp import local

    pipeline = _pipeline(given.stream)
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(given.run_dir / "artifacts"),
        # kfp deletes its workspace at the end, so it gets a folder that holds nothing else.
        workspace_root=str(given.run_dir / "workspace"),
        raise_on_error=True,
        enable_caching=False,
    )
    try:
        pipeline(stream=given.stream, batch=given.batch, settings=settings)
    except RuntimeError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    finally:
        shutil.rmtree(given.run_dir / "tmp", ignore_errors=True)
    return 0


def _pipeline(stream: str) -> Any:
    """The pipeline that learns the stream's batches."""
    if is_documents_stream(stream):
        from cfcre_pipelines.joint_extraction import joint_extraction

        return joint_extraction
    from cfcre_pipelines.continual_learning import continual_learning

    return continual_learning


def _end_with(parent: int) -> None:
    """Kill this whole session as soon as the parent is gone, components included."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=look, name="cfcre-parent", daemon=True).start()


def _prepare_interpreter(run_dir: Path, prefork: bool) -> None:
    """Let the components' shell command find this very interpreter, or the prefork client.

    kfp replaces the word ``python3`` by ``sys.executable``, unquoted, in the shell command and
    also in every argument: a path with a space or a folder called ``python3`` would break both.
    Naming the interpreter ``python3`` makes that a no-op, and ``PATH`` leads to the right one.
    """
    executable = Path(sys.executable)
    command = [str(executable)]
    if prefork:
        command += ["-I", "-S", str(Path(client.__file__)), str(run_dir), str(executable)]
    folder = executable.parent
    neighbour = folder / "python3"
    if prefork or not (neighbour.exists() and neighbour.samefile(executable)):
        folder = run_dir / "bin"
        folder.mkdir()
        shim = folder / "python3"
        shim.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        shim.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.executable = "python3"
    # kfp leaves a temporary folder behind for every component; these go with the run.
    temporary = run_dir / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)


if __name__ == "__main__":
    sys.exit(main())
