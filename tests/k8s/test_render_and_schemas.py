"""Every overlay and every choice of components renders, and every object matches its schema."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from k8s_bundle import BUNDLES, K8S, OVERLAYS, Bundle, Object, kind_name, overlay_with, render
from k8s_rules import problems
from k8s_schemas import (
    CUSTOM_KINDS,
    NotValid,
    check_known,
    is_core,
    validate_core,
    validate_custom,
)

CHOICES = ("gpu-training", "high-availability", "external-secrets", "ingress", "monitoring")


def fragments(folder: Path) -> set[Path]:
    """YAML under k8s/ that holds no object by itself: kustomizations, patches, settings."""
    found: set[Path] = set()
    for file in folder.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text())
        found.add(file)
        for patch in content.get("patches") or ():
            if "path" in patch:
                found.add(file.parent / patch["path"])
        for generator in content.get("configMapGenerator") or ():
            found |= {file.parent / name for name in generator.get("files") or ()}
    return found


def applied_by_kustomize(folder: Path) -> set[Path]:
    """The files of objects that some kustomization lists."""
    found: set[Path] = set()
    for file in folder.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text())
        found |= {file.parent / name for name in content.get("resources") or ()}
    return {path for path in found if path.is_file()}


def loose_files(folder: Path = K8S) -> list[Path]:
    """Every other YAML file that no kustomization lists: examples, to be applied by themselves."""
    listed = fragments(folder) | applied_by_kustomize(folder)
    return sorted(path for path in folder.rglob("*.y*ml") if path not in listed)


def objects_of(path: Path) -> list[Object]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


@pytest.mark.parametrize("name", BUNDLES)
class TestObjects:
    def test_core_kinds_match_their_schema(self, bundles: dict[str, Bundle], name: str) -> None:
        objects = bundles[name].objects
        for found in objects:
            check_known(found)
            if is_core(found):
                validate_core(found)
        kinds = Counter(found["kind"] for found in objects)
        print(f"{name}: {len(objects)} objects: {dict(sorted(kinds.items()))}")

    def test_custom_kinds_match_their_schema(
        self, bundles: dict[str, Bundle], name: str, custom_schemas: Path
    ) -> None:
        for found in bundles[name].objects:
            if not is_core(found):
                validate_custom(found)

    def test_no_object_is_there_twice(self, bundles: dict[str, Bundle], name: str) -> None:
        names = Counter(kind_name(found) for found in bundles[name].objects)
        assert [found for found, count in names.items() if count > 1] == []


def combinations() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every way to choose components on production; the other overlays with all and with none."""
    for serving in (
        ("serving-deployment",),
        ("serving-deployment", "serving-keda"),
        ("serving-kserve",),
    ):
        for size in range(len(CHOICES) + 1):
            for chosen in itertools.combinations(CHOICES, size):
                for overlay in OVERLAYS:
                    whole = size in (0, len(CHOICES))
                    if overlay == "production" or whole:
                        more = ("ingress-serving",) if "ingress" in chosen else ()
                        more = () if serving == ("serving-kserve",) else more
                        if overlay != "production" and chosen:
                            more = (*more, "argo-events")
                        yield overlay, (*serving, *chosen, *more, "release")


@pytest.mark.slow
def test_every_choice_of_components(manifests: Path) -> None:
    choices = list(combinations())
    folders = [overlay_with(manifests, overlay, parts) for overlay, parts in choices]
    with ThreadPoolExecutor(2) as pool:
        rendered = list(pool.map(render, folders))
    seen: set[str] = set()
    for (overlay, components), objects in zip(choices, rendered, strict=True):
        bundle = Bundle(f"{overlay}-{'+'.join(components)}", objects)
        assert problems(bundle) == [], bundle.name
        for found in objects:
            text = json.dumps(found, sort_keys=True)
            if text not in seen:
                seen.add(text)
                check_known(found)
                if is_core(found):
                    validate_core(found)
    print(f"{len(choices)} choices of components, {len(seen)} different objects")


class TestExamples:
    """YAML that no kustomization lists: it is applied by itself, beside an overlay."""

    def test_it_matches_its_schemas(self, request: pytest.FixtureRequest) -> None:
        for found in (found for path in loose_files() for found in objects_of(path)):
            check_known(found)
            if is_core(found):
                validate_core(found)
            else:
                request.getfixturevalue("custom_schemas")
                validate_custom(found)

    def test_it_keeps_the_policy_beside_an_overlay(self, bundles: dict[str, Bundle]) -> None:
        for path in loose_files():
            # What its own folder's kustomization lists comes first, as its README says.
            needed = render(path.parent) if (path.parent / "kustomization.yaml").exists() else []
            together = [*bundles["gpu-argo-events"].objects, *needed, *objects_of(path)]
            assert problems(Bundle("gpu", together)) == [], path.relative_to(K8S).as_posix()

    def test_a_new_file_is_seen(self, tmp_path: Path) -> None:
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "kustomization.yaml").write_text(
            "resources: [role.yaml]\npatches: [{path: patch.yaml}]\n"
            "configMapGenerator: [{name: c, files: [config.yaml]}]\n"
        )
        for name in ("role.yaml", "patch.yaml", "config.yaml", "forgotten.yaml", "README.md"):
            (tmp_path / "base" / name).write_text("a: 1\n")
        (tmp_path / "examples" / "deep").mkdir(parents=True)
        (tmp_path / "examples" / "deep" / "new.yml").write_text("a: 1\n")
        seen = {path.relative_to(tmp_path).as_posix() for path in loose_files(tmp_path)}
        assert seen == {"base/forgotten.yaml", "examples/deep/new.yml"}


class TestTheChecksCanFail:
    def core(self, bundles: dict[str, Bundle]) -> Object:
        return bundles["gpu"].copy().of("Deployment")[0]

    def test_an_unknown_field(self, bundles: dict[str, Bundle]) -> None:
        found = self.core(bundles)
        found["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
        with pytest.raises(NotValid, match="imagePulPolicy"):
            validate_core(found)

    def test_a_wrong_type(self, bundles: dict[str, Bundle]) -> None:
        found = self.core(bundles)
        found["spec"]["replicas"] = "two"
        with pytest.raises(NotValid, match="replicas"):
            validate_core(found)

    def test_an_unknown_kind(self) -> None:
        with pytest.raises(NotValid, match="no schema"):
            check_known({"apiVersion": "x.example/v1", "kind": "Y", "metadata": {"name": "y"}})
        with pytest.raises(NotValid, match="find schema"):
            validate_core({"apiVersion": "apps/v1", "kind": "Y", "metadata": {"name": "y"}})

    def test_every_custom_kind_has_a_strict_schema(self, custom_schemas: Path) -> None:
        for version, kind in CUSTOM_KINDS:
            found = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}
            with pytest.raises(NotValid, match=r"nonsense|spec"):
                validate_custom(found | {"spec": {"nonsense": 1}})

    @pytest.mark.parametrize("name", ["production", "production-kserve", "production-keda"])
    def test_a_misspelt_field_of_every_custom_object(
        self, bundles: dict[str, Bundle], name: str, custom_schemas: Path
    ) -> None:
        for found in bundles[name].copy().objects:
            if not is_core(found):
                key = next(iter(found["spec"]))
                found["spec"][f"{key}x"] = found["spec"].pop(key)
                with pytest.raises(NotValid):
                    validate_custom(found)
