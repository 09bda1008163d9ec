"""The rendered overlays, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from k8s_bundle import (
    OVERLAYS,
    SCHEMAS,
    VARIANTS,
    Bundle,
    copied_manifests,
    overlay_with,
    render,
    renderer,
)


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of k8s/ with the secrets of dev."""
    if renderer() is None:
        pytest.skip("neither kubectl nor kustomize is on this machine")
    return copied_manifests(tmp_path_factory.mktemp("manifests") / "k8s")


@pytest.fixture(scope="session")
def bundles(manifests: Path) -> dict[str, Bundle]:
    """Every overlay as shipped, and what no overlay ships."""
    found = {name: Bundle(name, render(manifests / "overlays" / name)) for name in OVERLAYS}
    for name, (overlay, components) in VARIANTS.items():
        edited = overlay_with(manifests, overlay, [*components, "release"])
        found[name] = Bundle(name, render(edited))
    return found


@pytest.fixture(scope="session")
def custom_schemas() -> Path:
    """The folder of the custom resources' schemas; skips where it is absent."""
    if not SCHEMAS.is_dir():
        pytest.skip("the schemas of custom resources, ../shared/schemas, are not on this machine")
    return SCHEMAS
