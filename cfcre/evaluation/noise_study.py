"""The label-noise test: models trained on corrupted labels, scored on clean ones.

Every combination of model, kind of noise, rate and seed is one run. Without noise the kinds are the
same run, which counts for each of them. The development labels are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfcre.config import Settings
from cfcre.evaluation.run_store import RunStore
from cfcre.spans.noise import NoiseKind, corrupt_labels
from cfcre.spans.running import Corpus, train_model
from cfcre.spans.training import Progress

__all__ = ["NoiseResult", "NoiseRun", "NoiseStudy", "plan_runs"]


@dataclass(frozen=True)
class NoiseRun:
    """One training.

    Attributes:
        model: Name of the model's settings.
        kind: ``symmetric`` or ``pair-flip``; None without noise.
        rate: Probability of a wrong type.
        seed: Of noise and training.
    """

    model: str
    kind: NoiseKind | None
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.model} {self.kind or 'clean'} {100 * self.rate:g}% seed={self.seed}"


@dataclass(frozen=True)
class NoiseResult:
    """A run and what came of it.

    Attributes:
        run: The run.
        scores: Of the development documents: ``entities``, ``relations``, ``relations_strict``.
        noise: Labels and changed labels.
    """

    run: NoiseRun
    scores: dict[str, Any]
    noise: dict[str, int]


def plan_runs(
    models: Sequence[str], kinds: Sequence[NoiseKind], rates: Sequence[float], seeds: Sequence[int]
) -> list[NoiseRun]:
    """All combinations, seed by seed, so that an unfinished study has whole columns first."""
    runs: dict[NoiseRun, None] = {}
    for seed in seeds:
        for rate in rates:
            for model in models:
                for kind in kinds:
                    runs[NoiseRun(model, kind if rate else None, rate, seed)] = None
    return list(runs)


class NoiseStudy:
    """Runs of one study, finished ones not repeated.

    Args:
        folder: Where results are kept.
        settings: Of each model; the seed is the run's own.
        corpus: Gives the documents, encoded for a model's settings; asked once a run.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Settings],
        corpus: Callable[[Settings], Corpus],
    ) -> None:
        self._store = RunStore(folder)
        self._settings = settings
        self._corpus = corpus

    def run(self, run: NoiseRun, progress: Progress | None = None) -> tuple[NoiseResult, bool]:
        """The result of a run, and whether it was there before.

        Raises:
            DataError: A stored result is damaged, or there is nothing to train on or score.
        """
        settings = self._settings[run.model].model_copy(update={"seed": run.seed})
        corpus = self._corpus(settings)
        decides = {
            "run": asdict(run),
            "settings": settings.spans.model_dump(mode="json"),
            "precision": settings.compute.precision,
            "data": {name: about["sha256"] for name, about in corpus.about.items()},
            "types": corpus.types.to_json(),
        }

        def work() -> dict[str, Any]:
            labels, changed = corrupt_labels(
                corpus.train.trainable,
                corpus.types,
                run.kind or "symmetric",
                run.rate,
                run.seed,
            )
            _, facts = train_model(
                corpus, settings, labels=labels, progress=progress, every_epoch=False
            )
            return {"scores": facts.epochs[-1].scores, "noise": asdict(changed)}

        result, stored = self._store.run(run.name, decides, work)
        return NoiseResult(run, result["scores"], result["noise"]), stored
