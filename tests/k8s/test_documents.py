"""docs/kubernetes.md says what the manifests and the rules say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from k8s_bundle import BUNDLES, K8S, ROOT, Bundle
from k8s_rules import RULES
from k8s_rules_references import SECRETS

DOCUMENT = ROOT / "docs" / "kubernetes.md"


def section(name: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}: begin\..*? -->\n(.*?)<!-- {name}: end -->", text, flags=re.S)
    assert found, name
    return found[1]


def test_the_policy_is_listed() -> None:
    assert section("POLICY") == "".join(f"- {rule.text}\n" for rule in RULES)


def test_the_numbers_of_objects(bundles: dict[str, Bundle]) -> None:
    lines = ["| rendered | objects | pods described |", "| --- | --- | --- |"]
    for name in BUNDLES:
        bundle = bundles[name]
        lines.append(f"| `{name}` | {len(bundle.objects)} | {len(bundle.pods())} |")
    assert section("OBJECTS") == "\n".join(lines) + "\n"


def test_the_secrets_table() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", section("SECRETS"), flags=re.M)
    assert {name: set(re.findall(r"`([\w-]+)`", keys)) for name, keys in rows} == SECRETS


def test_every_network_policy_is_explained(bundles: dict[str, Bundle]) -> None:
    named = set(re.findall(r"`(cfcre-[\w-]+)`", section("NETWORK")))
    there = {
        policy["metadata"]["name"]
        for bundle in bundles.values()
        for policy in bundle.of("NetworkPolicy")
    }
    assert named == there


def test_every_component_and_overlay_is_named() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for folder in (*(K8S / "components").iterdir(), *(K8S / "overlays").iterdir()):
        assert f"| `{folder.name}` |" in text, folder.name


@pytest.mark.parametrize("path", [DOCUMENT, K8S / "README.md"], ids=lambda path: path.name)
def test_folders_that_are_named_are_there(path: Path) -> None:
    for name in re.findall(r"(?<![\w/])k8s/[\w./-]*\w", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or name.startswith("k8s/overlays/dev/secrets"), name
