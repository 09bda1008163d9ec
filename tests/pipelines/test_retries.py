"""What is tried again, by whom, and what is not: the ledger and the stages, no cluster needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cfcre.cli.main import main
from cfcre.config import Settings, load_settings
from cfcre.errors import (
    BatchRejected,
    CfcreError,
    ConfigurationError,
    LeaseLost,
    LedgerUnavailable,
    StateError,
    StoreUnavailable,
)
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import OWNER_VARIABLE, Owner
from cfcre.operations.stages import claim as claim_stage
from cfcre.operations.stages import ingest, settle
from cfcre.operations.stages.common import open_ledger, stage
from cfcre.operations.stages.retrying import retrying


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CFCRE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CFCRE_RUN_DIR", raising=False)
    return load_settings(assignments=["pipeline.stage_retry_seconds=0"])


@pytest.fixture
def portable(settings: Settings) -> str:
    return json.dumps(settings.portable())


@pytest.fixture
def ledger(settings: Settings, tmp_path: Path, relation_rows: Callable[..., list]) -> Ledger:
    """With one batch in the inbox."""
    file = tmp_path / "rows.jsonl"
    rows = relation_rows(["founded", "owns"], 12)
    file.write_text("".join(json.dumps(r.to_json()) + "\n" for r in rows))
    assert main(["submit", str(file), "--stream", "s"]) == 0
    return open_ledger(settings)


@pytest.fixture
def claimed(ledger: Ledger, portable: str, tmp_path: Path) -> str:
    return take(portable, tmp_path, "run-1")


def take(portable: str, tmp_path: Path, run: str) -> str:
    out = tmp_path / "claim.json"
    claim_stage.run(stream="s", batch="", settings=portable, run=run, claimed=str(out))
    return out.read_text()


def ending(ledger: Ledger, claimed: str) -> str:
    return ledger.settle(Claim.from_json(claimed)).ending


class TestAStageTriesAgain:
    def test_when_a_service_did_not_answer(self, portable: str) -> None:
        calls: list[int] = []

        @retrying
        def work(*, settings: str) -> str:
            calls.append(1)
            if len(calls) < 3:
                raise StoreUnavailable("away")
            return "done"

        assert work(settings=portable) == "done"
        assert len(calls) == 3

    def test_but_not_for_ever(self, portable: str) -> None:
        calls: list[int] = []

        @retrying
        def work(*, settings: str) -> None:
            calls.append(1)
            raise LedgerUnavailable("away")

        with pytest.raises(LedgerUnavailable):
            work(settings=portable)
        assert len(calls) == 3  # pipeline.stage_retries is 2

    @pytest.mark.parametrize(
        "error",
        [
            BatchRejected("too_few_rows", "x"),
            ConfigurationError("x"),
            LeaseLost("x"),
            StateError("x"),
            CfcreError("x"),
            MemoryError(),
            KeyError("a bug"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_and_for_nothing_else(self, portable: str, error: Exception) -> None:
        calls: list[int] = []

        @retrying
        def work(*, settings: str) -> None:
            calls.append(1)
            raise error

        with pytest.raises(type(error)):
            work(settings=portable)
        assert calls == [1]

    def test_with_pauses_that_double(self, portable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []
        monkeypatch.setattr("cfcre.operations.stages.retrying.time.sleep", waits.append)
        slow = json.dumps(load_settings(assignments=["pipeline.stage_retries=3"]).portable())

        @retrying
        def work(*, settings: str) -> None:
            raise StoreUnavailable("away")

        with pytest.raises(StoreUnavailable):
            work(settings=slow)
        assert waits == [5.0, 10.0, 20.0]

    def test_every_stage_does(self) -> None:
        from cfcre.operations import stages

        folder = Path(stages.__file__).parent
        for module in sorted(folder.glob("*.py")):
            text = module.read_text(encoding="utf-8")
            if "\ndef run(" in text:
                assert "@retrying\ndef run(" in text, module.name

    def test_a_real_one_through_an_outage(
        self,
        ledger: Ledger,
        portable: str,
        claimed: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The store is away once; the error is noted, and gone when the stage has ended well."""
        import cfcre.intake.ingest as intake

        real, calls = intake.ingest_batch, []

        def sometimes(*arguments: object, **options: object) -> object:
            calls.append(1)
            if len(calls) == 1:
                raise StoreUnavailable("away")
            assert ledger.last_error(Claim.from_json(claimed)) is not None
            return real(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(intake, "ingest_batch", sometimes)
        ingest.run(claim=claimed, settings=portable, raw=str(tmp_path / "raw.jsonl"))
        assert len(calls) == 2
        assert ledger.last_error(Claim.from_json(claimed)) is None
        # A pod that vanishes later is an interruption, not that old error once more.
        assert ending(ledger, claimed) == "interruption"


class TestAContainerThatIsStartedAgain:
    """Kubeflow's retries know no exit code: it starts a pod again whatever its error was."""

    @pytest.mark.parametrize(
        "error",
        [BatchRejected("too_few_rows", "only 3"), StateError("no state")],
        ids=["data", "state"],
    )
    def test_does_nothing_where_no_retry_can_help(
        self, ledger: Ledger, portable: str, claimed: str, error: CfcreError
    ) -> None:
        with pytest.raises(type(error)), stage("validate", claimed, portable):
            raise error
        ran: list[int] = []
        for _ in range(2):
            with (
                pytest.raises(CfcreError, match="failed in validate and no retry can help"),
                stage("validate", claimed, portable),
            ):
                ran.append(1)
        assert ran == []
        found = ledger.last_error(Claim.from_json(claimed))
        # The ledger keeps a rejection's reason apart from its detail.
        said = error.detail if isinstance(error, BatchRejected) else str(error)
        assert found is not None and found.message == said, "the first message stays"

    def test_and_its_batch_is_rejected_as_if_there_had_been_no_second_start(
        self, ledger: Ledger, portable: str, claimed: str
    ) -> None:
        with pytest.raises(BatchRejected), stage("validate", claimed, portable):
            raise BatchRejected("too_few_rows", "only 3")
        with pytest.raises(CfcreError), stage("validate", claimed, portable):
            pass
        settle.run(stream="s", batch="", settings=portable, run="run-1", state="FAILED")
        (stream,) = ledger.status("s")["streams"]
        (batch,) = stream["tasks"]
        assert (batch["state"], batch["reason"]) == ("rejected", "too_few_rows")

    def test_works_where_a_retry_can_help(
        self, ledger: Ledger, portable: str, claimed: str
    ) -> None:
        with pytest.raises(StoreUnavailable), stage("ingest", claimed, portable):
            raise StoreUnavailable("away")
        ran: list[int] = []
        with stage("ingest", claimed, portable):
            ran.append(1)
        assert ran == [1]
        assert ledger.last_error(Claim.from_json(claimed)) is None

    def test_an_earlier_stages_error_is_not_forgotten_by_another_stage(
        self, ledger: Ledger, portable: str, claimed: str
    ) -> None:
        with pytest.raises(StoreUnavailable), stage("ingest", claimed, portable):
            raise StoreUnavailable("away")
        with stage("validate", claimed, portable):
            pass
        assert ledger.last_error(Claim.from_json(claimed)) is not None
        assert ending(ledger, claimed) == "failure"


class TestAClaimThatIsMadeAgain:
    def test_by_the_same_run_is_the_same_claim(
        self,
        ledger: Ledger,
        portable: str,
        claimed: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its pod died after the ledger had it; the new pod is another process."""
        monkeypatch.setenv(OWNER_VARIABLE, json.dumps(Owner("pod-2", "", 1, "1").to_json()))
        again = take(portable, tmp_path, "run-1")
        assert Claim.from_json(again) == Claim.from_json(claimed)
        with stage("ingest", again, portable):
            pass

    def test_by_another_run_is_refused(self, portable: str, claimed: str, tmp_path: Path) -> None:
        assert json.loads(take(portable, tmp_path, "run-2")) == {}

    def test_after_a_lost_answer_of_the_ledger(
        self,
        ledger: Ledger,
        portable: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The claim was committed, and its answer did not arrive."""
        real, calls = Ledger.claim, []

        def lost(self: Ledger, *arguments: object, **options: object) -> Claim | None:
            made = real(self, *arguments, **options)  # type: ignore[arg-type]
            calls.append(made)
            if len(calls) == 1:
                raise LedgerUnavailable("the connection was cut")
            return made

        monkeypatch.setattr(Ledger, "claim", lost)
        text = take(portable, tmp_path, "run-1")
        assert len(calls) == 2 and calls[0] == calls[1] is not None, "one claim, given twice"
        claim = Claim.from_json(text)
        assert (claim.token, claim.attempt) == (calls[0].token, 1)
        settle.run(stream="s", batch="", settings=portable, run="run-1", state="FAILED")
        assert ledger.live_claim("s") is None, "the exit handler finds it"
