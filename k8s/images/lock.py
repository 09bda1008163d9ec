"""Write the lock files of the images: every package at one version, with the hash of its file.

    python k8s/images/lock.py            # after a change of pyproject.toml or constraints.txt
    python k8s/images/lock.py --check    # change nothing; 1 where a file would change

Versions are those of constraints.txt. pip chooses the files, for the Python and the machine that
this runs on: Python 3.11 on Linux x86-64, as the images have. PyTorch is left out, because its CPU
build comes from an index of its own under the same version (docs/images.md).
"""

# A program that talks to its terminal.

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# What the image holds beyond the package's own requirements.
EXTRAS = ("offline", "postgres")
# PyTorch is installed by the Dockerfile; what it brings for GPUs is pinned by PyTorch itself.
NOT_LOCKED = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)$")
# Required by the package that carries the compact encoder's weights, and used by nothing.
NOT_INSTALLED = "sentence-transformers"


def product() -> list[str]:
    """What pyproject.toml requires, with the extras of the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(line for name in EXTRAS for line in extras.get(name, []))]


def listed(path: Path) -> list[str]:
    """The lines of a requirements file, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def resolve(requirements: list[str]) -> dict[str, dict[str, object]]:
    """Ask pip what it would install; returns its report, one entry a package."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--disable-pip-version-check", "--report", str(report)]
        command += ["-c", str(ROOT / "constraints.txt"), *requirements]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonicalize_name(entry["metadata"]["name"]): entry for entry in found}


def needed(requirements: list[str], found: dict[str, dict[str, object]]) -> list[str]:
    """Names reached from the requirements without passing through what is not installed."""
    waiting = [
        (canonicalize_name(r.name), frozenset(r.extras)) for r in map(Requirement, requirements)
    ]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name == NOT_INSTALLED or name not in found:
            continue
        seen.add((name, extras))
        for line in found[name]["metadata"].get("requires_dist", []):  # type: ignore[attr-defined]
            wanted = Requirement(line)
            if wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in extras | {""}
            ):
                waiting.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return sorted({name for name, _ in seen if not NOT_LOCKED.match(name)})


def locked(requirements: list[str]) -> str:
    """The lock file's text."""
    found = resolve(requirements)
    lines = [
        "# Written by k8s/images/lock.py from constraints.txt. Python 3.11, Linux x86-64.",
    ]
    for name in needed(requirements, found):
        entry = found[name]
        version = entry["metadata"]["version"]  # type: ignore[index]
        sha256 = entry["download_info"]["archive_info"]["hashes"]["sha256"]  # type: ignore[index]
        lines += [f"{name}=={version} \\", f"    --hash=sha256:{sha256}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or compare the three lock files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on a change")
    check = parser.parse_args().check
    if sys.version_info[:2] != (3, 11) or sysconfig.get_platform() != "linux-x86_64":
        print("error: run this with Python 3.11 on Linux x86-64, as in the images", file=sys.stderr)
        return 2
    status = 0
    for path, requirements in (
        (HERE / "build.lock", listed(HERE / "build.in")),
        (HERE / "requirements.lock", product()),
        (ROOT / "mlflow" / "requirements.lock", listed(ROOT / "mlflow" / "requirements.in")),
    ):
        text, before = locked(requirements), path.read_text() if path.is_file() else ""
        shown = path.relative_to(ROOT)
        if text == before:
            print(f"{shown}: as it was")
        elif check:
            print(f"{shown}: not what constraints.txt gives; run k8s/images/lock.py")
            status = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{shown}: {text.count('==')} packages")
    return status


if __name__ == "__main__":
    sys.exit(main())
