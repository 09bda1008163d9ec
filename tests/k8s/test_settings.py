"""What the manifests say to cfcre: its configuration files, its commands, its versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from k8s_bundle import BUNDLES, K8S, Bundle
from k8s_rules_pods import OUR_IMAGES, image_name
from k8s_rules_references import version_of

CONFIGS = sorted(K8S.rglob("config.yaml"))
BASE = K8S / "base" / "config.yaml"

# What the manifests use and this code does not have yet. A test fails as soon as it has: take the
# entry out then.
SETTINGS_TO_COME = {"pipeline.launcher", "kubeflow"}
WORDS_TO_COME = {
    "migrate",
    "serve",
    "watch --health-port",
    "watch --leader-election",
    "watch --webhook-port",
}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= flat(inner, f"{path}.{key}" if path else str(key))
        return found
    return {path: value}


def relative(path: Path) -> str:
    return path.relative_to(K8S).as_posix()


def unknown_settings(content: dict[str, Any]) -> set[str]:
    from cfcre.config import Settings

    unknown = set()
    for section, keys in content.items():
        model = Settings.model_fields.get(section)
        if model is None:
            unknown.add(section)
            continue
        known = model.annotation.model_fields
        unknown |= {f"{section}.{key}" for key in keys if key not in known}
    return unknown


class TestConfiguration:
    def test_they_are_found(self) -> None:
        assert {relative(path) for path in CONFIGS} == {
            "base/config.yaml",
            "components/gpu-training/config.yaml",
            "overlays/dev/config.yaml",
        }

    @pytest.mark.parametrize("path", CONFIGS, ids=relative)
    def test_cfcre_reads_them(self, path: Path, tmp_path: Path) -> None:
        from cfcre.config import load_settings

        content = yaml.safe_load(path.read_text())
        assert unknown_settings(content) == SETTINGS_TO_COME & unknown_settings(content)
        for name in SETTINGS_TO_COME:
            section, _, key = name.partition(".")
            content[section].pop(key) if key else content.pop(section)
        known = tmp_path / "config.yaml"
        known.write_text(yaml.safe_dump(content))
        settings = load_settings(home=tmp_path, config_file=known, environ={})
        assert settings.pipeline.image.startswith("ghcr.io/cfcre/cfcre-python:")

    def test_what_is_to_come_is_still_to_come(self) -> None:
        unknown = unknown_settings(yaml.safe_load(BASE.read_text()))
        assert unknown == SETTINGS_TO_COME, "take what cfcre knows now out of SETTINGS_TO_COME"

    def test_a_setting_that_does_not_exist_is_noticed(self) -> None:
        assert unknown_settings({"pipeline": {"imagee": 1}, "x": {}}) == {"pipeline.imagee", "x"}

    def test_the_files_differ_only_where_they_should(self) -> None:
        """kustomize replaces the whole file, so each repeats the rest."""
        base = flat(yaml.safe_load(BASE.read_text()))
        allowed = {
            "components/gpu-training/config.yaml": {
                "compute.device",
                "compute.precision",
                "pipeline.gpu_count",
                "pipeline.gpu_node_selector",
                "pipeline.gpu_node_selector.nvidia.com/gpu.present",
                "pipeline.gpu_resource",
                "pipeline.gpu_toleration_key",
                "pipeline.train_cpu",
                "pipeline.train_memory",
            },
            "overlays/dev/config.yaml": {"pipeline.train_cpu", "pipeline.train_memory"},
        }
        for path in CONFIGS:
            other = flat(yaml.safe_load(path.read_text()))
            differ = {key for key in base | other if base.get(key) != other.get(key)}
            assert differ == allowed.get(relative(path), set()), relative(path)

    @pytest.mark.parametrize("name", BUNDLES)
    def test_the_environment_completes_them(
        self, bundles: dict[str, Bundle], name: str, tmp_path: Path
    ) -> None:
        from cfcre.config import load_settings

        found = bundles[name].get("ConfigMap", "cfcre-connections")
        assert found is not None
        settings = load_settings(home=tmp_path, environ=found["data"])
        assert settings.store_url.startswith("s3://")
        assert (settings.store.endpoint_url is not None) == (name == "dev")
        service = bundles[name].get("Service", "cfcre-mlflow")
        assert service is not None
        port = service["spec"]["ports"][0]["port"]
        host = f"cfcre-mlflow.cfcre.svc.cluster.local:{port}"
        assert settings.tracking_uri == f"http://{host}"
        server = bundles[name].get("ConfigMap", "cfcre-mlflow")
        assert server is not None
        assert host in server["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")

    @pytest.mark.parametrize("name", BUNDLES)
    def test_runs_use_the_image_of_the_release(self, bundles: dict[str, Bundle], name: str) -> None:
        from cfcre import __version__

        found = bundles[name].get("ConfigMap", "cfcre-config")
        assert found is not None
        image = yaml.safe_load(found["data"]["config.yaml"])["pipeline"]["image"]
        for pod in bundles[name].pods():
            for container in pod.containers():
                if image_name(container) == OUR_IMAGES[0]:
                    assert container["image"] == image
        assert version_of(image) == __version__

    def test_an_ingress_is_answered_by_mlflow(self, bundles: dict[str, Bundle]) -> None:
        ingress = bundles["production"].get("Ingress", "cfcre-mlflow")
        server = bundles["production"].get("ConfigMap", "cfcre-mlflow")
        assert ingress is not None and server is not None
        allowed = server["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
        assert {rule["host"] for rule in ingress["spec"]["rules"]} <= set(allowed)


def command_words(bundle: Bundle) -> Iterator[tuple[str, list[str]]]:
    for pod in bundle.pods():
        for container in pod.containers():
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            if words[:1] == ["cfcre"]:
                yield pod.where, words[1:]


def unknown_words(words: list[str]) -> set[str]:
    """What the command line of cfcre does not know of these words."""
    from cfcre.cli.main import cli

    command = cli.commands.get(words[0])
    if command is None:
        return {words[0]}
    options = {o: p for p in command.params for o in p.opts}
    unknown = set()
    for word in words[1:]:
        name, given, value = word.partition("=")
        parameter = options.get(name)
        if parameter is None:
            unknown.add(f"{words[0]} {name}")
            continue
        flag = isinstance(parameter, click.Option) and parameter.is_flag
        assert flag != bool(given), f"{word} of {words[0]}"
        if not flag and name != "--config":
            parameter.type.convert(value, parameter, None)
    return unknown


class TestCommands:
    @pytest.mark.parametrize("name", BUNDLES)
    def test_cfcre_knows_them(self, bundles: dict[str, Bundle], name: str) -> None:
        commands = list(command_words(bundles[name]))
        assert {words[0] for _, words in commands} == {"migrate", "serve", "watch"}
        for where, words in commands:
            assert unknown_words(words) <= WORDS_TO_COME, where

    def test_what_is_to_come_is_still_to_come(self, bundles: dict[str, Bundle]) -> None:
        used = [words for _, words in command_words(bundles["production"])]
        unknown = set().union(*(unknown_words(words) for words in used))
        assert unknown == WORDS_TO_COME, "take what cfcre knows now out of WORDS_TO_COME"

    def test_a_word_that_does_not_exist_is_noticed(self) -> None:
        assert unknown_words(["watch", "--onc"]) == {"watch --onc"}
        with pytest.raises(click.BadParameter):
            unknown_words(["watch", "--interval=soon"])
        with pytest.raises(AssertionError):
            unknown_words(["watch", "--once=yes"])

    @pytest.mark.parametrize("name", BUNDLES)
    def test_ports_are_those_of_the_pod(self, bundles: dict[str, Bundle], name: str) -> None:
        for pod in bundles[name].pods():
            for container in pod.containers():
                ports = {str(p["containerPort"]) for p in container.get("ports") or ()}
                asked = {
                    word.partition("=")[2]
                    for word in container.get("args") or ()
                    if word.partition("=")[0] in {"--port", "--health-port", "--webhook-port"}
                }
                assert asked <= ports and (not asked or asked == ports), pod.where
