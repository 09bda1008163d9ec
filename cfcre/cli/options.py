"""Options that every command takes, and the settings they lead to."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cfcre.config import Settings

__all__ = ["Common", "Invocation", "common_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Invocation:
    """One call of the program, as :func:`cfcre.cli.main.main` sees it."""

    verbose: bool = False


@dataclass(frozen=True)
class Common:
    """Values of the common options."""

    home: str | None
    config: str | None
    assignments: tuple[str, ...]
    store: str | None
    endpoint_url: str | None
    tracking_uri: str | None
    ledger: str | None

    def settings(self, more: Mapping[str, Any] | None = None) -> Settings:
        """The settings, all sources joined.

        Args:
            more: Dotted key to value, from options of the command's own.

        Raises:
            ConfigurationError: A setting is unknown or out of bounds.
        """
        from cfcre.config import load_settings

        return load_settings(
            home=self.home,
            config_file=self.config,
            overrides={
                "store.url": self.store,
                "store.endpoint_url": self.endpoint_url,
                "tracking.uri": self.tracking_uri,
                "ledger.url": self.ledger,
                **(more or {}),
            },
            assignments=self.assignments,
        )


_OPTIONS = (
    click.option("--home", metavar="DIR", help="Home folder [CFCRE_HOME; default ./.cfcre]."),
    click.option("--config", metavar="FILE", help="Configuration [default <home>/config.yaml]."),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one setting, as section.key=value; may be given often.",
    ),
    click.option("--store", metavar="URL", help="Object store: file:///dir or s3://bucket/prefix."),
    click.option("--endpoint-url", metavar="URL", help="Endpoint of an S3 server."),
    click.option("--tracking-uri", metavar="URI", help="MLflow tracking URI."),
    click.option("--ledger", metavar="URL", help="SQLAlchemy URL of the ledger."),
    click.option("--verbose", is_flag=True, help="Show log messages, and the trace of an error."),
)


def common_options(function: Function) -> Function:
    """Give a command the common options; it receives them as its first argument."""

    @functools.wraps(function)
    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> Any:
        verbose = given.pop("verbose")
        root = context.find_root().obj
        if isinstance(root, Invocation):
            root.verbose = verbose
        _configure_logging(verbose)
        values = {name: given.pop(name) for name in Common.__dataclass_fields__}
        return function(Common(**values), **given)

    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


class _ErrorStream(logging.Handler):
    """Writes to the error stream of the moment, which tests and callers may replace."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


class _OneLine(logging.Formatter):
    """Messages as one line each; traces only where they were asked for."""

    verbose = False

    def format(self, record: logging.LogRecord) -> str:
        if self.verbose:
            return super().format(record)
        message = " ".join(record.getMessage().split())
        return f"cfcre: {message}"


def _configure_logging(verbose: bool) -> None:
    logger = logging.getLogger("cfcre")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    if not logger.handlers:
        logger.addHandler(_ErrorStream())
    formatter = _OneLine("cfcre: %(message)s")
    formatter.verbose = verbose
    for handler in logger.handlers:
        handler.setFormatter(formatter)
