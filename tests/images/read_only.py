"""Run a command where only two folders can be written, as in the image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# In a mount namespace of its own: the folders given first are bound to themselves and stay
# writable, all else is read-only. --rbind keeps the mounts made before it in place.
SCRIPT = """
set -e
mount --make-rprivate /
while [ "$1" != -- ]; do mount --bind "$1" "$1"; shift; done; shift
while [ "$1" != -- ]; do
    mount --rbind "$1" "$1"
    mount -o remount,bind,ro "$1"
    shift
done; shift
# The working folder is opened after the mounts were made.
cd "$1"; shift
exec "$@"
"""


@dataclass
class Container:
    """What the image gives a process: a home, a temporary folder, no user's home.

    Args:
        folder: An empty folder for the two.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: list[str] = field(default_factory=list)
    why_not: str = ""

    def __post_init__(self) -> None:
        self.home, self.tmp = self.folder / "home", self.folder / "tmp"
        for path in (self.home, self.tmp):
            path.mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "CFCRE_HOME": str(self.home),
            "TMPDIR": str(self.tmp),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "LANG": "C.UTF-8",
            **self.environment,
        }
        self._find_wrapper()

    def _find_wrapper(self) -> None:
        if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
            self.why_not = "mount namespaces need Linux and util-linux"
            return
        closed = {str(ROOT), sys.prefix, sys.base_prefix, str(Path.home()), "/tmp", "/"}
        # The shortest first: what is bound later lies above what is bound before.
        order = sorted((path for path in closed if Path(path).is_dir()), key=len)
        self.wrapper = ["unshare", "--mount"]
        if os.geteuid() != 0:
            self.wrapper.append("--map-root-user")
        self.wrapper += ["sh", "-c", SCRIPT, "sh", str(self.home), str(self.tmp), "--", *order]
        self.wrapper += ["--", str(ROOT)]
        tried = self.run("true")
        if tried.returncode != 0:
            self.wrapper = []
            self.why_not = f"no mount namespace can be made here: {tried.stderr.strip()[-200:]}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command; read-only where that is possible here (see ``why_not``)."""
        return subprocess.run(
            [*self.wrapper, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def cfcre(self, *arguments: str) -> str:
        """Run the command line; returns what it prints."""
        done = self.run(sys.executable, "-m", "cfcre.cli.main", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
