"""The resources Pipeline and PipelineVersion, for clusters that are managed by files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cfcre.cli.main import main
from cfcre.config import PipelineSettings, load_settings

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    out = tmp_path_factory.mktemp("manifests") / "pipeline.yaml"
    words = ["pipeline", "compile", str(out), "--kubernetes-manifests"]
    assert main([*words, "--home", str(out.parent)]) == 0
    return list(yaml.safe_load_all(out.read_text(encoding="utf-8")))


def test_a_pipeline_and_its_version(manifests: list[Any]) -> None:
    from cfcre_pipelines.compile import pipeline_package

    pipeline, version = manifests
    package = pipeline_package(load_settings(environ={}))
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert pipeline["metadata"] == {"name": "continual-learning", "namespace": "cfcre"}
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
    assert version["spec"]["pipelineSpec"] == package["pipeline_spec"]
    assert version["spec"]["platformSpec"] == package["platform_spec"]


def test_a_version_is_named_after_its_content(manifests: list[Any], tmp_path: Path) -> None:
    """A PipelineVersion can not be changed: another content needs another name."""
    names = {manifests[1]["metadata"]["name"]}
    for image in (PipelineSettings().image, "registry.example/python:2"):
        out = tmp_path / "again.yaml"
        words = ["pipeline", "compile", str(out), "--kubernetes-manifests"]
        words += ["--set", f"pipeline.image={image}", "--home", str(tmp_path)]
        assert main(words) == 0
        _, version = yaml.safe_load_all(out.read_text(encoding="utf-8"))
        names.add(version["metadata"]["name"])
    assert len(names) == 2


@pytest.mark.shared
def test_they_fit_kubeflows_own_schemas(manifests: list[Any]) -> None:
    import jsonschema

    folder = SHARED / "schemas" / "pipelines.kubeflow.org"
    if not folder.is_dir():
        pytest.skip("the schemas in ../shared/schemas are not on this machine")
    for manifest in manifests:
        crd = yaml.safe_load((folder / f"{manifest['kind'].lower()}s.crd.yaml").read_text())
        group, version = manifest["apiVersion"].split("/")
        assert (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (group, manifest["kind"])
        (served,) = (v for v in crd["spec"]["versions"] if v["name"] == version)
        schema = _strict(served["schema"]["openAPIV3Schema"])
        jsonschema.validate(manifest, schema)
        broken = {**manifest, "spec": {**manifest["spec"], "nonsense": 1}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def _strict(schema: Any) -> Any:
    """A structural schema with unknown fields refused; the API server would drop them silently."""
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["properties"] = {k: _strict(v) for k, v in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return made
