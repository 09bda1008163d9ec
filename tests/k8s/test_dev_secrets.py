"""The overlay dev: passwords are made by the user, and none is in the repository."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from k8s_bundle import K8S, Bundle, renderer
from k8s_rules_references import SECRETS

DEV = K8S / "overlays" / "dev"


def pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(K8S, tmp_path / "k8s")
    folder = tmp_path / "k8s" / "overlays" / "dev"
    for own in (folder / "secrets").glob("*.env"):
        own.unlink()
    return folder


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "make-secrets.sh")], capture_output=True, text=True, check=False
    )


def test_without_them_nothing_is_rendered(copied: Path) -> None:
    command = renderer()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is on this machine")
    done = subprocess.run([*command, str(copied)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "secrets/cfcre-" in done.stderr


def test_they_are_as_the_examples_show(copied: Path) -> None:
    assert make(copied).returncode == 0
    made = {p.name: p for p in (copied / "secrets").glob("*.env")}
    examples = {p.name.removesuffix(".example"): p for p in (DEV / "secrets").glob("*.example")}
    assert made.keys() == examples.keys()
    for name, path in made.items():
        assert path.stat().st_mode & 0o077 == 0, f"others may read {name}"
        assert pairs(path.read_text()).keys() == pairs(examples[name].read_text()).keys()


def test_every_time_they_are_others(copied: Path, tmp_path: Path) -> None:
    make(copied)
    first = {p.name: p.read_text() for p in (copied / "secrets").glob("*.env")}
    for path in (copied / "secrets").glob("*.env"):
        path.unlink()
    make(copied)
    second = {p.name: p.read_text() for p in (copied / "secrets").glob("*.env")}
    assert all(first[name] != second[name] for name in first)
    password = pairs(second["cfcre-mlflow-client.env"])["password"]
    assert len(password) == 32 and password.isalnum()


def test_what_is_there_is_not_overwritten(copied: Path) -> None:
    make(copied)
    before = {p: p.read_text() for p in (copied / "secrets").glob("*.env")}
    again = make(copied)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert {p: p.read_text() for p in (copied / "secrets").glob("*.env")} == before


def test_the_repository_holds_none() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=DEV,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    assert not [
        name
        for name in listed.stdout.splitlines()
        if name.endswith(".env") and name.startswith("secrets/")
    ]
    for example in (DEV / "secrets").glob("*.example"):
        for key, value in pairs(example.read_text()).items():
            if key not in {"username", "admin-username"}:
                assert "<" in value and ">" in value, f"{example.name}: {key}"


def test_they_fill_the_contract(bundles: dict[str, Bundle]) -> None:
    made = {s["metadata"]["name"]: s["data"] for s in bundles["dev"].of("Secret")}
    for name, keys in SECRETS.items():
        if name != "cfcre-serve":  # of ingress-serving, which dev does not list
            assert made[name].keys() == keys
    password = base64.b64decode(made["cfcre-dev-postgres"]["POSTGRES_PASSWORD"]).decode()
    for name, key in (
        ("cfcre-ledger", "url"),
        ("cfcre-mlflow-server", "backend-store-uri"),
        ("cfcre-mlflow-server", "auth-database-uri"),
    ):
        url = base64.b64decode(made[name][key]).decode()
        assert f"cfcre:{password}@cfcre-dev-postgres.cfcre.svc" in url
