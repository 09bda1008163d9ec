"""The example with Argo Events: valid, and understood by the webhook."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cfcre.intake.events.notifications import InboxPlace, Look, parse_notification

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "k8s" / "examples"
SCHEMA = ROOT.parent / "shared" / "schemas" / "argoproj.io" / "argo-events.schema.json"
FILES = sorted((EXAMPLES / "argo-events").glob("*.yaml"))
RECORD = {
    "eventName": "s3:ObjectCreated:Put",
    "s3": {"bucket": {"name": "cfcre"}, "object": {"key": "inbox%2Fpeople%2Fa.jsonl"}},
}


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((EXAMPLES / "argo-events" / name).read_text())
    return read


@functools.cache
def schema(kind: str) -> Any:
    """The schema of one kind; fields that it does not know are refused."""
    if not SCHEMA.is_file():
        pytest.skip("the schemas ../shared/schemas are not on this machine")
    whole = json.loads(SCHEMA.read_text())
    for definition in whole["definitions"].values():
        if "properties" in definition and "additionalProperties" not in definition:
            definition["additionalProperties"] = False
    whole.pop("oneOf")
    whole["$ref"] = f"#/definitions/io.argoproj.events.v1alpha1.{kind}"
    return jsonschema.Draft7Validator({k: v for k, v in whole.items() if k != "$schema"})


def test_there_are_examples() -> None:
    assert {document(path.name)["kind"] for path in FILES} == {"EventBus", "EventSource", "Sensor"}


@pytest.mark.shared
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_valid(path: Path) -> None:
    read = document(path.name)
    schema(read["kind"]).validate(read)


@pytest.mark.shared
def test_the_validation_can_fail() -> None:
    for change in ("misspelt", "missing"):
        read = copy.deepcopy(document("sensor.yaml"))
        http = read["spec"]["triggers"][0]["template"]["http"]
        if change == "misspelt":
            http["urll"] = "x"
        else:
            del http["url"]
        with pytest.raises(jsonschema.ValidationError):
            schema("Sensor").validate(read)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pods_of_an_example_fit_a_restricted_namespace(path: Path) -> None:
    template = document(path.name)["spec"].get("template")
    if template is None:
        pytest.skip("the controller of Argo Events decides about the pods of the bus")
    assert template["securityContext"]["runAsNonRoot"] is True
    assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = template["container"]["securityContext"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("event-source-minio.yaml", {"notification": [RECORD]}),
        ("event-source-sqs.yaml", {"messageId": "1", "body": {"Records": [RECORD]}}),
    ],
)
def test_the_sensor_sends_what_the_webhook_understands(source: str, data: dict[str, Any]) -> None:
    """The payload is put together as the sensor does: the value of ``dataKey`` under ``dest``."""
    sensor = document("sensor.yaml")["spec"]
    (part,) = sensor["triggers"][0]["template"]["http"]["payload"]
    key, dest = part["src"]["dataKey"], part["dest"]
    if source == "event-source-sqs.yaml":
        key = dest = "body"  # the change that README.md describes
    else:
        (dependency,) = sensor["dependencies"]
        made = document(source)
        assert dependency["eventSourceName"] == made["metadata"]["name"]
        assert dependency["eventName"] in made["spec"]["minio"]
        assert part["src"]["dependencyName"] == dependency["name"]
    sent = json.dumps({dest: data[key]})
    said = parse_notification(sent, InboxPlace("cfcre", ""))
    assert said.look == Look(frozenset({"people"}))
