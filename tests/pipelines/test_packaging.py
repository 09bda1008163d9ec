"""Installed, the folders components/ and pipelines/ have names of their own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RENAMED = {"components": "cfcre_components", "pipelines": "cfcre_pipelines"}


def setuptools_table() -> dict[str, object]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table: dict[str, object] = project["tool"]["setuptools"]
    return table


def packages_in_the_tree() -> set[str]:
    found = set()
    for top in ("cfcre", *RENAMED):
        for marker in (ROOT / top).rglob("__init__.py"):
            first, *rest = marker.parent.relative_to(ROOT).parts
            found.add(".".join([RENAMED.get(first, first), *rest]))
    return found


def test_every_package_is_listed() -> None:
    assert set(setuptools_table()["packages"]) == packages_in_the_tree()  # type: ignore[call-overload]


def test_every_module_lies_in_a_package() -> None:
    for top in ("cfcre", *RENAMED):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), module


@pytest.mark.parametrize("name", ["cfcre_pipelines.continual_learning", "cfcre_components"])
def test_import_from_another_folder(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_wheel_holds_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path)]
    # Built from a copy, so that no build folder appears in the repository.
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("cfcre", *RENAMED):
        subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
    for name in ("pyproject.toml", "README.md"):
        if (ROOT / name).is_file():
            subprocess.run(["cp", str(ROOT / name), str(copy)], check=True)
    command[command.index(str(ROOT))] = str(copy)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == {"cfcre", *RENAMED.values()}
    for top in ("cfcre", *RENAMED):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and path.suffix in {".py", ".j2", ".typed"}:
                first, *rest = path.relative_to(ROOT).parts
                assert "/".join([RENAMED.get(first, first), *rest]) in names
