"""The reconciler and the watch loop over a launcher that returns before its run ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubeflow_server import Fault, KubeflowServer

from cfcre.cli.main import main
from cfcre.cli.progress import Reporter
from cfcre.config import Settings
from cfcre.errors import CfcreError
from cfcre.operations.kubeflow.launcher import KubeflowLauncher
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.reconciler import ReconcileReport, reconcile
from cfcre.operations.watch import watch

pytestmark = pytest.mark.server

HASH = "a" * 64
NAME = "s-aaaaaaaaaaaa-a1"
SECOND = "s-aaaaaaaaaaaa-a2"


@pytest.fixture
def step(settings: Settings, ledger: Ledger, memory_store: Any) -> Callable[..., ReconcileReport]:
    memory_store.objects["inbox/s/a.jsonl"] = b"x"
    launcher = KubeflowLauncher(settings)

    def take(skip: frozenset[str] = frozenset()) -> ReconcileReport:
        return reconcile(
            settings=settings,
            store=memory_store,
            ledger=ledger,
            launcher=launcher,
            discover=lambda: [],
            skip_streams=skip,
        )

    return take


def learn(ledger: Ledger, claim: Claim) -> None:
    ledger.advance(claim, "evaluated", verdict="promote", model_version="1")
    ledger.settle(claim)


def test_a_submitted_run_is_not_submitted_at_every_look(server: KubeflowServer, step: Any) -> None:
    first = step()
    assert (first.launched, first.under_way, first.idle) == ([("s", HASH)], [], False)
    for _ in range(3):
        again = step()
        assert (again.launched, again.under_way, again.idle) == ([], [("s", HASH)], False)
        assert again.poll_seconds == 15
    assert server.names() == [NAME]


def test_a_claimed_run_is_waited_for_and_its_end_seen(
    server: KubeflowServer, step: Any, ledger: Ledger, claim: Callable[..., Claim]
) -> None:
    step()
    held = claim(next(iter(server.runs)))
    report = step()
    assert (report.launched, report.under_way, report.idle) == ([], [], False)
    learn(ledger, held)
    server.end(NAME, "SUCCEEDED")
    assert step().idle
    assert server.names() == [NAME]


def test_a_failed_run_is_followed_by_the_next_attempt(
    server: KubeflowServer, step: Any, ledger: Ledger, claim: Callable[..., Claim]
) -> None:
    step()
    held = claim(next(iter(server.runs)))
    ledger.record_error(held, "train_task", "no memory", True)
    ledger.settle(held)  # the exit handler
    server.end(NAME, "FAILED")
    assert step().launched == [("s", HASH)]
    assert server.names() == [NAME, SECOND]


class TestVanishedRuns:
    def test_a_run_that_kubeflow_ended_is_settled_at_once(
        self, server: KubeflowServer, step: Any, claim: Callable[..., Claim]
    ) -> None:
        step()
        claim(next(iter(server.runs)), lease_seconds=3600)
        server.end(NAME, "CANCELED")
        report = step()
        assert [o.ending for o in report.settled] == ["interruption"]
        assert report.launched == [("s", HASH)]
        assert server.names() == [NAME, SECOND]

    def test_a_run_that_goes_on_keeps_its_lease(
        self, server: KubeflowServer, step: Any, claim: Callable[..., Claim]
    ) -> None:
        step()
        claim(next(iter(server.runs)), lease_seconds=3600)
        assert step().settled == []

    def test_a_run_of_another_launcher_is_left_to_its_lease(
        self, server: KubeflowServer, step: Any, claim: Callable[..., Claim], ledger: Ledger
    ) -> None:
        claim("a local run", lease_seconds=3600)
        assert step().settled == []
        assert ledger.live_claim("s") is not None

    def test_kubeflow_being_away_settles_nothing(
        self, server: KubeflowServer, step: Any, claim: Callable[..., Claim], ledger: Ledger
    ) -> None:
        step()
        claim(next(iter(server.runs)), lease_seconds=3600)
        server.end(NAME, "CANCELED")
        server.faults = [Fault("GET", "runs", 500) for _ in range(5)]
        assert step().settled == []
        assert ledger.live_claim("s") is not None
        assert len(step().settled) == 1

    def test_a_lease_that_ran_out(
        self, server: KubeflowServer, step: Any, claim: Callable[..., Claim], clock: Any
    ) -> None:
        step()
        claim("", lease_seconds=0)
        assert [o.ending for o in step().settled] == ["interruption"]
        assert server.names() == [NAME, SECOND]


class Script:
    """Instead of waiting, lets the next thing happen on the cluster."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.events, self.waits = list(events), []

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        assert self.events, "waited for something that never comes"
        self.events.pop(0)()
        return False


def nothing() -> None:
    pass


def test_until_idle_stays_until_the_run_has_ended(
    server: KubeflowServer, step: Any, ledger: Ledger, claim: Callable[..., Claim]
) -> None:
    held: list[Claim] = []
    script = Script(
        nothing,
        lambda: held.append(claim(next(iter(server.runs)))),
        lambda: ledger.advance(held[0], "training"),
        lambda: learn(ledger, held[0]),
    )
    watch(step, mode="until_idle", stop=script, interval_seconds=1.0)  # type: ignore[arg-type]
    assert script.events == []
    assert set(script.waits) == {15.0}, "Kubeflow and the store are not asked twice a second"
    assert server.names() == [NAME]


def test_interval_looks_at_least_as_often_as_asked(
    server: KubeflowServer, step: Any, ledger: Ledger, claim: Callable[..., Claim]
) -> None:
    class Enough(Exception):
        pass

    def leave() -> None:
        raise Enough

    for interval, expected in ((5.0, 5.0), (60.0, 15.0)):
        script = Script(nothing, leave)
        with pytest.raises(Enough):
            watch(step, mode="interval", stop=script, interval_seconds=interval)  # type: ignore[arg-type]
        assert script.waits == [expected, expected]
    learn(ledger, claim())
    script = Script(leave)
    with pytest.raises(Enough):
        watch(step, mode="interval", stop=script, interval_seconds=60.0)  # type: ignore[arg-type]
    assert script.waits == [60.0], "nothing to do"


def test_once_submits_and_leaves(server: KubeflowServer, step: Any) -> None:
    report = watch(step, mode="once", stop=Script())  # type: ignore[arg-type]
    assert report is not None and report.launched == [("s", HASH)]
    assert server.names() == [NAME]


def test_runs_that_end_in_vain_end_the_watch_with_the_reason(
    server: KubeflowServer, step: Any
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)

    def fail() -> None:
        for run in server.runs.values():
            if run.state == "PENDING":
                run.state, run.finished_at = "FAILED", long_ago

    script = Script(*[fail] * 5, nothing, nothing, nothing)
    with pytest.raises(CfcreError, match="without claiming"):
        watch(step, mode="until_idle", stop=script)  # type: ignore[arg-type]
    assert len(server.runs) == 5


def test_what_a_person_sees(
    settings: Settings,
    server: KubeflowServer,
    step: Any,
    ledger: Ledger,
    claim: Callable[..., Claim],
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = Reporter(ledger, bars=False)
    launcher = KubeflowLauncher(settings, on_start=reporter.on_start, on_event=reporter.on_event)
    launcher.launch("s", HASH)
    reporter.on_report(ReconcileReport(launched=[("s", HASH)]))
    said = capsys.readouterr().out
    assert said.startswith("s: batch a\n  submit")
    assert NAME in said and f"{server.url}/#/runs/details/" in said
    held = claim(next(iter(server.runs)))
    reporter.on_report(step())
    reporter.on_report(step())
    assert capsys.readouterr().out == "s: batch a is claimed\n", "once, not at every look"
    ledger.advance(held, "training")
    reporter.on_report(step())
    learn(ledger, held)
    reporter.on_report(step())
    reporter.on_report(step())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "s: batch a is training"
    assert said[1].startswith("s: task 1 learned in")
    assert len(said) == 3


def test_the_watch_command_submits_and_leaves(
    server: KubeflowServer,
    settings: Settings,
    tmp_path: Path,
    relation_rows: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole of 'cfcre watch --once' with the launcher chosen by a setting."""
    import json

    home = tmp_path / "home"
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(r.to_json()) + "\n" for r in relation_rows(["owns"], 12)))
    options = ["--home", str(home)]
    assert main(["submit", str(rows), "--stream", "news", *options]) == 0
    options += ["--set", "pipeline.launcher=kubeflow", "--set", f"kubeflow.host={server.url}"]
    for _ in range(2):
        assert main(["watch", "--once", *options]) == 0
    (name,) = server.names()
    assert name.startswith("news-") and name.endswith("-a1")
    assert main(["pipeline", "submit", "--stream", "news", *options]) == 0
    assert "already" in capsys.readouterr().out
    assert server.names() == [name]


class TestSubmitCommand:
    @pytest.fixture
    def submit(
        self, settings: Settings, capsys: pytest.CaptureFixture[str], server: KubeflowServer
    ) -> Any:
        def call(*words: str, code: int = 0) -> str:
            options = ["--home", str(settings.home), "--ledger", settings.ledger_url]
            options += ["--set", f"kubeflow.host={server.url}"]
            options += ["--set", "kubeflow.retry_seconds=0"]
            assert main(["pipeline", "submit", *words, *options]) == code
            said = capsys.readouterr()
            return said.out if code == 0 else said.err

        return call

    def test_a_batch_by_its_hash_and_the_next_one_are_one_run(
        self, server: KubeflowServer, ledger: Ledger, submit: Any
    ) -> None:
        said = submit("--stream", "s", "--batch", HASH)
        assert said.startswith(f"run {NAME} submitted\n")
        assert next(iter(server.runs)) in said
        assert "pending already" in submit("--stream", "s", "--batch", HASH)
        assert "pending already" in submit("--stream", "s")
        assert server.names() == [NAME]

    def test_a_stream_of_which_the_ledger_knows_nothing(
        self, server: KubeflowServer, ledger: Ledger, submit: Any
    ) -> None:
        """The run looks into the inbox itself, as a recurring run does."""
        assert "run new-next submitted" in submit("--stream", "new")
        assert server.parameters("new-next")["batch"] == ""
        assert "already" in submit("--stream", "new")
        server.end("new-next", "SUCCEEDED")
        assert "run new-next-r2 submitted" in submit("--stream", "new")

    def test_a_person_is_not_told_to_wait(
        self, server: KubeflowServer, ledger: Ledger, submit: Any
    ) -> None:
        submit("--stream", "s")
        server.end(NAME, "FAILED")
        assert f"run {NAME}-r2 submitted" in submit("--stream", "s")

    def test_what_runs_or_is_learned_is_not_submitted(
        self, server: KubeflowServer, ledger: Ledger, submit: Any, claim: Callable[..., Claim]
    ) -> None:
        held = claim()
        assert "is claimed already" in submit("--stream", "s")
        learn(ledger, held)
        assert "is promoted already" in submit("--stream", "s", "--batch", HASH)
        assert server.runs == {}

    def test_errors_are_one_line_with_their_code(
        self, server: KubeflowServer, ledger: Ledger, submit: Any
    ) -> None:
        assert "no batch" in submit("--stream", "s", "--batch", "b" * 64, code=3)
        assert "letters" in submit("--stream", "../x", code=2)
        server.namespaces = {"another"}
        assert submit("--stream", "s", code=2).count("\n") == 1
        server.faults = [Fault("GET", "runs", 503) for _ in range(9)]
        assert "trying again later can help" in submit("--stream", "s", code=75)
