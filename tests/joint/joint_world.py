"""A home whose runs happen within the test's process: the same stages, without Kubeflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfcre.config import Settings
from cfcre.config.names import is_documents_stream
from cfcre.errors import CfcreError
from cfcre.intake.store import ObjectStore, open_store
from cfcre.operations.ledger import Ledger
from cfcre.operations.reconciler import ReconcileReport, reconcile
from cfcre.operations.stages import (
    claim,
    evaluate_spans,
    ingest,
    read_documents,
    register_extractor,
    register_spans,
    settle,
    train_spans,
    validate,
)
from cfcre.operations.stages.common import open_ledger
from cfcre.operations.tracking_store import open_tracker
from cfcre.tracking.kinds import ModelKind


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process runs after it, the exit handler neither."""


@dataclass
class World:
    """One home.

    Attributes:
        relations: Learns a relation batch; by default nothing is learned, and it is held back.
        before: Called before each stage, with its name; may raise what is to go wrong there.
    """

    settings: Settings
    folder: Path
    before: Callable[[str], None] = lambda stage: None
    stages: list[str] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self.ledger: Ledger = open_ledger(self.settings)
        self.store: ObjectStore = open_store(self.settings)
        self.portable = json.dumps(self.settings.portable())

    def launch(self, stream: str, batch_hash: str) -> bool:
        self.runs += 1
        run, work = f"run-{self.runs}", self.folder / f"run-{self.runs}"
        work.mkdir(parents=True)
        state = "SUCCEEDED"
        try:
            self._body(stream, batch_hash, run, work)
        except CfcreError:
            state = "FAILED"
        self._stage("settle")
        settle.run(stream=stream, batch=batch_hash, settings=self.portable, run=run, state=state)
        return True

    def step(self) -> ReconcileReport:
        return reconcile(
            settings=self.settings,
            store=self.store,
            ledger=self.ledger,
            launcher=self,
            open_tracker=lambda kind: open_tracker(self.settings, kind),
        )

    def until_idle(self) -> ReconcileReport:
        for _ in range(30):
            report = self.step()
            if report.idle:
                return report
        raise AssertionError("never idle")

    def drop(self, documents: Any, stream: str = "news", name: str = "one.json") -> None:
        self.store.write(f"inbox/{stream}/{name}", json.dumps(documents).encode())

    def tasks(self, stream: str) -> list[dict[str, Any]]:
        return [t for s in self.ledger.status(stream)["streams"] for t in s["tasks"]]

    def versions(self, kind: ModelKind) -> list[dict[str, Any]]:
        return open_tracker(self.settings, kind).versions()

    def _stage(self, name: str) -> None:
        self.stages.append(name)
        self.before(name)

    def _body(self, stream: str, batch_hash: str, run: str, work: Path) -> None:
        at = {name: str(work / name) for name in ("claim", "corpus", "model", "facts", "out")}
        self._stage("claim")
        if not claim.run(
            stream=stream,
            batch=batch_hash,
            settings=self.portable,
            run=run,
            claimed=at["claim"],
        ):
            return
        given = {"claim": Path(at["claim"]).read_text(), "settings": self.portable}
        if not is_documents_stream(stream):
            self._relations(given, work)
            return
        self._stage("read_documents")
        read_documents.run(**given, corpus=at["corpus"])
        self._stage("train_spans")
        train_spans.run(**given, corpus=at["corpus"], model=at["model"], facts=at["facts"])
        self._stage("evaluate_spans")
        verdict, _ = evaluate_spans.run(
            **given,
            corpus=at["corpus"],
            model=at["model"],
            evaluated=at["out"],
            scores=str(work / "scores.md"),
        )
        self._stage("register_spans")
        version = register_spans.run(
            **given, verdict=verdict, evaluated=at["out"], facts=at["facts"]
        )
        self._stage("register_extractor")
        register_extractor.run(**given, after=version)

    def _relations(self, given: dict[str, str], work: Path) -> None:
        """Validate the rows and settle the task as held; the learner is not the subject here."""
        self._stage("ingest")
        ingest.run(**given, raw=str(work / "raw"))
        self._stage("validate")
        validate.run(
            **given, raw=str(work / "raw"), accepted=str(work / "rows"), docs=str(work / "d")
        )
        from cfcre.operations.ledger import Claim

        task = Claim.from_json(json.loads(given["claim"]))
        self.ledger.advance(task, "evaluated", model_version=f"{task.task}", verdict="hold")
