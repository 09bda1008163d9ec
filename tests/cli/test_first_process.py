"""``cfcre`` as process 1, as it is in a container: SIGTERM stops it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def test_sigterm_stops_the_first_process(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        pytest.skip("process namespaces need Linux and util-linux")
    namespace = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        namespace.insert(1, "--map-root-user")
    if subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        pytest.skip("no process namespace can be made here")
    command = [*namespace, sys.executable, "-u", "-m", "cfcre.cli.main", "demo"]
    process = subprocess.Popen(
        [*command, "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "batches are dropped" in process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in errors
