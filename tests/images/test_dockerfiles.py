"""The Dockerfiles keep the rules of image_rules, and the rules notice when they are broken."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths
from image_rules import problems, shipped, stages

ROOT = Path(__file__).resolve().parents[2]
PRODUCT, SERVER = ROOT / "Dockerfile", ROOT / "mlflow" / "Dockerfile"


@pytest.mark.parametrize("path", [PRODUCT, SERVER], ids=["product", "mlflow"])
def test_the_rules_are_kept(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, f"{old!r} is no longer in the Dockerfile"
        return text.replace(old, new)

    return change


BROKEN = {
    "root": (replaced("USER 10001:10001", "USER root"), "last USER is root"),
    "named user": (replaced("USER 10001:10001", "USER cfcre"), "last USER is cfcre"),
    "no user": (replaced("USER 10001:10001\n", ""), "last USER is missing"),
    "compiler": (
        replaced("USER 10001:10001", "RUN apt-get install -y gcc\nUSER 10001:10001"),
        "the image's stage runs 'gcc'",
    ),
    "pip": (
        replaced("USER 10001:10001", "RUN pip install tqdm\nUSER 10001:10001"),
        "not pinned: pip install tqdm",
    ),
    "no hashes": (replaced("--require-hashes", ""), "not pinned"),
    "latest": (replaced("python:3.11-slim\n", "python:latest\n"), "latest moves"),
    "fixed base": (replaced("FROM ${BASE_IMAGE}", "FROM python:3"), "is no build argument"),
    "secret": (
        replaced("WORKDIR /build", "ARG PIP_PASSWORD\nWORKDIR /build"),
        "PIP_PASSWORD is kept",
    ),
    "address": (
        replaced("WORKDIR /build", "ENV INDEX=https://me:pw@mirror.example\nWORKDIR /build"),
        "password in an address",
    ),
    "mirror": (replaced("id=pip_conf", "id=other"), "can not be given as a secret"),
    "everything": (replaced("WORKDIR /build", "WORKDIR /build\nCOPY . ."), "COPY takes the whole"),
    "add": (replaced("WORKDIR /build", "WORKDIR /build\nADD x.tar /"), "use COPY"),
    "label": (replaced("image.revision", "image.rev"), "label revision is missing"),
    "home": (replaced("    HOME=", "    OTHER_HOME="), "HOME is not in a folder"),
    "shell": (replaced("ENTRYPOINT [", "ENTRYPOINT exec ["), "ENTRYPOINT is missing or is run by"),
}


@pytest.mark.parametrize("path", [PRODUCT, SERVER], ids=["product", "mlflow"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(path: Path, name: str) -> None:
    change, expected = BROKEN[name]
    found = problems(change(path.read_text(encoding="utf-8")))
    assert any(expected in problem for problem in found), found


def test_one_stage_is_noticed() -> None:
    assert "one stage only" in problems("FROM $BASE_IMAGE\nUSER 10001:10001\n")[0]


def test_the_health_check_is_where_it_serves() -> None:
    product = stages(PRODUCT.read_text(encoding="utf-8"))
    # Pipeline steps and the watcher are the same image without one: nothing answers there.
    assert not any(stage.values("HEALTHCHECK") for stage in shipped(product))
    (serve,) = (stage for stage in product if stage.name == "serve")
    (command,) = serve.values("CMD")
    assert json.loads(command)[0] == "serve"
    (check,) = serve.values("HEALTHCHECK")
    port = json.loads(command)[json.loads(command).index("--port") + 1]
    assert f"127.0.0.1:{port}/ready" in check and serve.values("EXPOSE") == [port]
    (server,) = shipped(stages(SERVER.read_text(encoding="utf-8")))
    (check,) = server.values("HEALTHCHECK")
    assert "/health" in check


@pytest.mark.parametrize("path", [PRODUCT, SERVER], ids=["product", "mlflow"])
def test_the_health_check_can_be_parsed(path: Path) -> None:
    for stage in stages(path.read_text(encoding="utf-8")):
        for check in stage.values("HEALTHCHECK"):
            program = json.loads(check[check.index("[") :])
            assert program[:2] == ["python3", "-c"]
            compile(program[2], "health check", "exec")


def context(folder: Path) -> set[str]:
    """What a real client sends as build context, by the folder's own .dockerignore."""
    patterns = [
        line.strip()
        for line in (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    paths = exclude_paths(str(folder), patterns, dockerfile="Dockerfile")
    return {path for path in paths if (folder / path).is_file()}


def repository(tmp_path: Path) -> Path:
    """A copy of the tracked files, with what a working copy also holds."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    ).stdout
    names = [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]
    if not names:
        pytest.skip("this is not a git checkout: the files of the repository are not known")
    rubbish = [
        ".git/config",
        ".venv/bin/python",
        ".cfcre/ledger.db",
        "cfcre/__pycache__/config.cpython-311.pyc",
        "cfcre/data/x.pyo",
        "cfcre/.cfcre/mlflow.db",
        "cfcre.egg-info/PKG-INFO",
        ".env",
        "pip.conf",
        "mlflow/.env",
        "mlflow/mlflow.db",
    ]
    for name in [*names, *rubbish]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes() if name in names else b"x")
    return tmp_path


def test_the_build_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    root = repository(tmp_path)
    sent = context(root)
    tops = {path.split("/")[0] for path in sent}
    files = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "Dockerfile"}
    assert tops <= {"cfcre", "components", "pipelines", "k8s", ".dockerignore", *files}
    assert {path for path in sent if path.startswith("k8s/")} == {
        f"k8s/images/{name}"
        for name in ("build.lock", "requirements.lock", "prune.sh", "verify.py")
    }
    assert not [p for p in sent if re.search(r"__pycache__|\.py[co]$|egg-info|\.cfcre|\.env", p)]
    assert {"cfcre/__init__.py", "cfcre/evaluation/report.html.j2", "cfcre/py.typed"} <= sent
    allowed = {"Dockerfile", ".dockerignore", "entrypoint.sh", "migrate", "requirements.lock"}
    assert context(root / "mlflow") <= allowed


@pytest.mark.parametrize("path", [PRODUCT, SERVER], ids=["product", "mlflow"])
def test_every_file_that_is_copied_is_sent(path: Path, tmp_path: Path) -> None:
    root = repository(tmp_path) / path.parent.relative_to(ROOT)
    sent = context(root)
    copied = [
        source
        for stage in stages(path.read_text(encoding="utf-8"))
        for value in stage.values("COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert any(name == source or name.startswith(f"{source}/") for name in sent), source
