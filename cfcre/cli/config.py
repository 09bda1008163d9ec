"""``cfcre config show``: every setting with its value and what it changes, as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cfcre.cli.options import Common, common_options

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the configuration."""


@config.command()
@common_options
def show(common: Common) -> None:
    """Print every setting as YAML; the output is a valid <home>/config.yaml."""
    settings = common.settings()
    # Home is where the file lies: it can not be set from inside it.
    click.echo("# Settings of cfcre; save what you change as <home>/config.yaml.")
    for line in _lines(settings, 0, leave_out={"home"}):
        click.echo(line)


def _lines(model: BaseModel, depth: int, leave_out: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    from pydantic import BaseModel

    indent = "  " * depth
    lines: list[str] = []
    for name, field in type(model).model_fields.items():
        if name in leave_out:
            continue
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            about = " ".join((type(value).__doc__ or "").split())
            lines += ["", f"# {about}", f"{indent}{name}:", *_lines(value, depth + 1)]
            continue
        if field.description:
            lines.append(f"{indent}# {field.description}")
        lines.append(f"{indent}{name}: {_scalar(_plain(model, name))}")
    return lines


def _plain(model: BaseModel, name: str) -> Any:
    value = model.model_dump(mode="json", include={name})[name]
    if isinstance(value, str) and name in {"url", "uri"}:
        return _without_password(value)
    return value


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def _scalar(value: Any) -> str:
    import json

    import yaml

    if isinstance(value, list | dict):
        # JSON is YAML's flow style, and keeps a list on one line.
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").strip()
