"""Reading the settings from all their sources."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cfcre.config.settings import Settings
from cfcre.errors import ConfigurationError

__all__ = ["load_settings"]


def _assign(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    node = data
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise ConfigurationError(f"setting {dotted!r}: {name!r} is a value, not a section")
    node[leaf] = value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise ConfigurationError(f"cannot read the configuration {path}: {problem}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"the configuration {path} holds a {type(data).__name__}; "
            "it must be a mapping of sections as 'cfcre config show' prints it"
        )
    return data


def load_settings(
    *,
    home: Path | str | None = None,
    config_file: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Build the settings from all their sources.

    Args:
        home: Home folder; default ``$CFCRE_HOME``, then ``./.cfcre``.
        config_file: YAML file; default ``<home>/config.yaml`` where it exists.
        overrides: Dotted key to value, from command-line options; None values are ignored.
        assignments: ``section.key=value`` strings of ``--set``; values are read as YAML. ``method``
            stands for ``method.name`` and ``encoder`` for ``encoder.name``.
        base: Nested settings below the file, as :meth:`Settings.portable` gives them.
        environ: Environment to read.

    Raises:
        ConfigurationError: An unknown key, a value out of bounds, or an unreadable file.
    """
    home_path = Path(home or environ.get("CFCRE_HOME") or ".cfcre")
    data: dict[str, Any] = {
        k: dict(v) if isinstance(v, Mapping) else v for k, v in (base or {}).items()
    }
    path = Path(config_file) if config_file else home_path / "config.yaml"
    if config_file or path.is_file():
        for section, value in _read_file(path).items():
            if isinstance(value, dict) and isinstance(data.get(section), dict):
                data[section].update(value)
            else:
                data[section] = value
    for variable, key in (
        ("CFCRE_STORE", "store.url"),
        ("CFCRE_STORE_ENDPOINT", "store.endpoint_url"),
        ("CFCRE_LEDGER", "ledger.url"),
        ("MLFLOW_TRACKING_URI", "tracking.uri"),
    ):
        if environ.get(variable):
            _assign(data, key, environ[variable])
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(data, key, value)
    for item in assignments:
        key, separator, text = item.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"--set takes section.key=value, got {item!r}")
        key = {"method": "method.name", "encoder": "encoder.name"}.get(key, key)
        try:
            value = yaml.safe_load(text)
            if isinstance(value, str):
                # YAML 1.1 reads 1e-5 as text; settings are written that way in every paper.
                value = float(value) if _is_float(value) else value
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {key}: {text!r} is not a YAML value") from error
        _assign(data, key, value)
    data["home"] = str(home_path)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error)) from error


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {where!r}; 'cfcre config show' lists every setting"
    # The value itself is left out: a connection URL may hold a password.
    return f"setting {where!r}: {problem['msg']}; 'cfcre config show' lists every setting"
