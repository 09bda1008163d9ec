"""What ``cfcre spans noise`` does: the runs of a study one after another, then its report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfcre.cli.output import printable
from cfcre.cli.spans_runs import progress_bar, say_refused
from cfcre.errors import ConfigurationError
from cfcre.evaluation.noise_report import write_noise_report
from cfcre.evaluation.noise_study import NoiseStudy, plan_runs
from cfcre.spans.noise import NOISE_KINDS, NoiseKind
from cfcre.spans.running import headline, load_corpus

if TYPE_CHECKING:
    from cfcre.config import Settings
    from cfcre.spans.reading import OnError
    from cfcre.spans.running import Corpus

__all__ = ["kinds", "names", "rates", "run", "seeds"]


def names(text: str, option: str) -> list[str]:
    """Read ``A,B``; each name once.

    Raises:
        ConfigurationError: There is no name in it.
    """
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise ConfigurationError(f"{option} takes values separated by commas, got {text!r}")
    return found


def rates(text: str) -> list[float]:
    """Read percentages as fractions.

    Raises:
        ConfigurationError: One is no number from 0 to 100.
    """
    found = []
    for name in names(text, "--rates"):
        try:
            percent = float(name)
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            raise ConfigurationError(f"--rates takes percentages from 0 to 100, got {name!r}")
        found.append(percent / 100)
    return found


def kinds(text: str) -> list[NoiseKind]:
    """Read kinds of noise.

    Raises:
        ConfigurationError: One is unknown.
    """
    found: list[NoiseKind] = []
    for name in names(text, "--kinds"):
        if name not in NOISE_KINDS:
            raise ConfigurationError(f"--kinds takes {', '.join(NOISE_KINDS)}, got {name!r}")
        found.append(next(kind for kind in NOISE_KINDS if kind == name))
    return found


def seeds(text: str) -> list[int]:
    """Read seeds.

    Raises:
        ConfigurationError: One is no whole number from 0.
    """
    found = []
    for name in names(text, "--seeds"):
        if not (name.isascii() and name.isdigit()):
            raise ConfigurationError(f"--seeds takes whole numbers from 0, got {name!r}")
        found.append(int(name))
    return found


def run(
    settings: Mapping[str, Settings],
    *,
    data: Path,
    dev: Path,
    types: Path | None,
    out: Path,
    rates: Sequence[float],
    kinds: Sequence[NoiseKind],
    seeds: Sequence[int],
    average: str,
    on_error: OnError,
) -> None:
    """Run what is not finished yet, then write table and figures."""
    corpora: dict[tuple[str, int, int], Corpus] = {}

    def corpus(own: Settings) -> Corpus:
        # Models that read documents the same way share them: they are encoded once.
        key = (own.spans.encoder, own.spans.max_length, own.spans.max_span_width)
        if key not in corpora:
            corpora[key] = made = load_corpus(data, dev, types, own, on_error=on_error)
            say_refused(data.name, made.train_reading.refused)
            if made.dev_reading is not None:
                say_refused(dev.name, made.dev_reading.refused)
        return corpora[key]

    study = NoiseStudy(out, settings, corpus)
    plan = plan_runs(list(settings), kinds, rates, seeds)
    results = []
    for number, item in enumerate(plan, start=1):
        label = f"run {number}/{len(plan)} {item.name}"
        started = time.perf_counter()
        with progress_bar(f"{label}, ") as progress:
            result, before = study.run(item, progress)
        figures = headline(result.scores, average)
        f1 = f"entity {100 * figures['entities']:.2f}, relation {100 * figures['relations']:.2f}"
        took = "finished before" if before else f"{time.perf_counter() - started:.0f} s"
        click.echo(f"{label}: F1 {f1}  {took}")
        results.append(result)
    epochs = {name: own.spans.epochs for name, own in settings.items()}
    caption = (
        f"Trained on {data.name}, scored on {dev.name}; epochs: "
        f"{', '.join(f'{name} {count}' for name, count in epochs.items())}; encoder: "
        f"{', '.join(dict.fromkeys(own.spans.encoder for own in settings.values()))}."
    )
    for path in write_noise_report(
        results, kinds, out, average=average, caption=printable(caption)
    ):
        click.echo(str(path))
