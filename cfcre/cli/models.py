"""``cfcre models``, ``promote`` and ``rollback``: versions, and which one serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cfcre.cli.options import Common, common_options
from cfcre.cli.output import number, print_json, printable, table

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.operations.ledger import Ledger, Promotion
    from cfcre.tracking.client import Tracker

__all__ = ["models", "promote", "rollback"]

Function = TypeVar("Function", bound=Callable[..., Any])
Header = tuple[str, ...]
Rows = list[tuple[str, ...]]
_KINDS = ("relations", "spans", "extractor")


def _model_option(*names: str) -> Callable[[Function], Function]:
    return click.option(
        "--model",
        "name",
        type=click.Choice(names),
        default="relations",
        show_default=True,
        help="Which of the home's registered models.",
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_model_option(*_KINDS)
@common_options
def models(common: Common, as_json: bool, name: str) -> None:
    """List the registered versions with their aliases, and how the champion moved."""
    settings = common.settings()
    ledger, tracker = _opened(settings, name)
    versions, moves = tracker.versions(), ledger.promotions()
    if as_json:
        print_json({"versions": versions, "promotions": [move.to_json() for move in moves]})
        return
    if not versions:
        click.echo("no version is registered yet; 'cfcre watch' registers one a task")
        return
    click.echo(table(*_TABLES[name](versions)))
    if moves:
        click.echo()
        moved = [
            (
                f"{m.at:%Y-%m-%d %H:%M:%S}",
                m.kind,
                m.old_version or "-",
                m.new_version,
                printable(m.actor),
                printable(m.reason),
            )
            for m in moves
        ]
        click.echo(table(("champion moved", "by", "from", "to", "actor", "reason"), moved))


@click.command()
@click.argument("version")
@click.option("--reason", required=True, metavar="R", help="Why; kept in the ledger.")
@_model_option("relations", "spans")
@common_options
def promote(common: Common, version: str, reason: str, name: str) -> None:
    """Make VERSION the champion, whatever the gate said; the extractor follows."""
    from cfcre.cli.home import actor
    from cfcre.operations.promotion import promote as move_champion

    settings = common.settings()
    ledger, tracker = _opened(settings, name)
    _report(move_champion(ledger, tracker, version, reason=reason, actor=actor()))
    _follow(settings, ledger)


@click.command()
@click.option("--reason", required=True, metavar="R", help="Why; kept in the ledger.")
@_model_option("relations", "spans")
@common_options
def rollback(common: Common, reason: str, name: str) -> None:
    """Go back to the version that served before the champion; the extractor follows."""
    from cfcre.cli.home import actor
    from cfcre.operations.promotion import rollback as move_back

    settings = common.settings()
    ledger, tracker = _opened(settings, name)
    _report(move_back(ledger, tracker, reason=reason, actor=actor()))
    _follow(settings, ledger)


def _report(move: Promotion) -> None:
    before = f", was version {move.old_version}" if move.old_version else ""
    click.echo(f"the champion is version {move.new_version}{before}")


def _opened(settings: Settings, name: str) -> tuple[Ledger, Tracker]:
    """Ledger and registry, asked about the model of that kind."""
    from cfcre.cli.home import open_ledger
    from cfcre.operations.tracking_store import open_tracker
    from cfcre.tracking.kinds import EXTRACTOR, RELATIONS, SPANS

    kind = {kind.name: kind for kind in (RELATIONS, SPANS, EXTRACTOR)}[name]
    model = kind.registered_name(settings.tracking.registered_model)
    return open_ledger(settings).for_model(model), open_tracker(settings, kind)


def _follow(settings: Settings, ledger: Ledger) -> None:
    """Take the extractor along; the move stands whether or not that succeeds now."""
    from cfcre.cli.home import actor
    from cfcre.errors import CfcreError, RetryableError
    from cfcre.operations.joint.extractor import follow_champions

    try:
        version = follow_champions(settings, ledger, actor=actor())
    except CfcreError as problem:
        error = RetryableError if problem.retryable else CfcreError
        raise error(
            f"the champion was moved, but the extractor could not follow ({problem}); "
            "'cfcre promote' of the same version again makes it"
        ) from problem
    if version is not None:
        click.echo(f"the extractor is version {version}")


def _relation_rows(versions: Sequence[Mapping[str, Any]]) -> tuple[Header, Rows]:
    rows: Rows = [
        (
            v["version"],
            ", ".join(v["aliases"]) or "-",
            v["stream"] or "-",
            number(v["task"]),
            printable(v["batch_name"] or "-"),
            number(v["relations"]),
            number(v["average_accuracy"]),
            number(v["forgetting"]),
            v["verdict"] or "-",
        )
        for v in versions
    ]
    header = ("version", "aliases", "stream", "task", "batch", "relations", "average", "forgetting")
    return (*header, "verdict"), rows


def _span_rows(versions: Sequence[Mapping[str, Any]]) -> tuple[Header, Rows]:
    rows: Rows = [
        (
            v["version"],
            ", ".join(v["aliases"]) or "-",
            v["stream"] or "-",
            number(v["task"]),
            printable(v["batch_name"] or "-"),
            _figure(v.get("entities_f1")),
            _figure(v.get("relations_f1")),
            v["verdict"] or "-",
        )
        for v in versions
    ]
    return (
        *("version", "aliases", "stream", "task", "batch"),
        *("entity F1", "relation F1", "verdict"),
    ), rows


def _extractor_rows(versions: Sequence[Mapping[str, Any]]) -> tuple[Header, Rows]:
    rows: Rows = [
        (
            v["version"],
            ", ".join(v["aliases"]) or "-",
            v.get("spans_version", "-"),
            v.get("relations_version", "none"),
        )
        for v in versions
    ]
    return ("version", "aliases", "span model", "relation model"), rows


def _figure(text: str | None) -> str:
    return number(None if text is None else float(text))


_TABLES = {"relations": _relation_rows, "spans": _span_rows, "extractor": _extractor_rows}
