"""The images' lock files: complete, pinned, hashed, and at the versions of constraints.txt."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "build": ROOT / "k8s/images/build.lock",
    "product": ROOT / "k8s/images/requirements.lock",
    "mlflow": ROOT / "mlflow/requirements.lock",
}
RENEW = "run: .venv/bin/python k8s/images/lock.py"
EXTRAS = ("offline", "postgres")


def entries(path: Path) -> dict[str, str]:
    """Name to version; fails on anything but ``name==version`` with one SHA-256."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        match = re.fullmatch(r"([a-z0-9-]+)==([^\s*]+)\s+--hash=sha256:[0-9a-f]{64}", line.strip())
        assert match, f"{path.name}: {line}"
        assert match[1] not in found
        found[match[1]] = match[2]
    return found


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version.strip() for name, version in pairs}


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_pinned_and_hashed(name: str) -> None:
    assert entries(LOCKS[name])


@pytest.mark.parametrize("name", ["product", "mlflow"])
def test_versions_are_those_of_the_constraints(name: str) -> None:
    pinned = constraints()
    other = {
        package: (version, pinned[package])
        for package, version in entries(LOCKS[name]).items()
        if package in pinned and pinned[package] != version
    }
    assert not other, f"{RENEW}: {other}"


def test_the_product_is_locked_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name in EXTRAS for line in extras.get(name, []))]
    locked = entries(LOCKS["product"])
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        # PyTorch comes from an index of its own, at the version of constraints.txt.
        if name != "torch":
            assert name in locked, f"{name} is not in requirements.lock; {RENEW}"
            assert requirement.specifier.contains(locked[name]), name
    # setuptools is required by PyTorch, and constraints.txt leaves it to pip.
    extra = set(locked) - set(constraints()) - {"setuptools"}
    assert not extra, f"not in constraints.txt: {extra}"


def test_what_must_not_be_in_the_image_is_not() -> None:
    for name in ("product", "mlflow"):
        locked = set(entries(LOCKS[name]))
        assert not locked & {"torch", "triton", "sentence-transformers", "pytest", "moto", "pip"}
        assert not [package for package in locked if package.startswith(("nvidia", "types-"))]


def test_the_tracking_server_has_what_it_needs() -> None:
    locked = entries(LOCKS["mlflow"])
    product = entries(LOCKS["product"])
    assert {"mlflow", "flask-wtf", "psycopg", "psycopg-binary", "boto3", "uvicorn"} <= set(locked)
    # Client and server of one release speak the same language.
    assert locked["mlflow"] == product["mlflow"]
