"""Submitting runs through the real client to a server that loses answers, refuses and expires."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubeflow_server import Fault, KubeflowServer

from cfcre.config import Settings, load_settings
from cfcre.errors import CfcreError, ConfigurationError, KubeflowUnavailable, NotFoundError
from cfcre.operations.events import Event
from cfcre.operations.kubeflow.client import KubeflowClient
from cfcre.operations.kubeflow.launcher import KubeflowLauncher
from cfcre.operations.launchers import open_launcher
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.local_run import LocalLauncher
from cfcre.operations.reconciler import RemoteLauncher

pytestmark = pytest.mark.server

HASH = "a" * 64
NAME = "s-aaaaaaaaaaaa-a1"


@pytest.fixture
def launcher(settings: Settings, ledger: Ledger) -> KubeflowLauncher:
    found = open_launcher(settings)
    assert isinstance(found, KubeflowLauncher)
    return found


def test_the_setting_chooses_the_launcher(settings: Settings, launcher: KubeflowLauncher) -> None:
    assert isinstance(launcher, RemoteLauncher)
    local = open_launcher(load_settings(home=settings.home, environ={}))
    assert isinstance(local, LocalLauncher) and not isinstance(local, RemoteLauncher)


def test_a_run_is_submitted_with_what_it_needs(
    server: KubeflowServer, settings: Settings, ledger: Ledger
) -> None:
    told: list[Any] = []
    launcher = KubeflowLauncher(
        settings, on_start=lambda *start: told.append(start), on_event=told.append
    )
    assert launcher.launch("s", HASH) is True
    (run,) = server.runs.values()
    assert (run.display_name, run.service_account) == (NAME, "cfcre-pipeline")
    assert server.parameters(NAME) == {
        "stream": "s",
        "batch": HASH,
        "settings": json.dumps(settings.portable()),
    }
    assert server.url not in json.dumps(settings.portable())
    (experiment,) = server.experiments.values()
    assert (experiment.display_name, experiment.namespace) == ("cfcre", "cfcre")
    assert told[0] == ("s", HASH)
    assert isinstance(told[1], Event) and told[1].facts["run"] == NAME
    assert run.run_id in told[1].facts["see"]


def test_the_stream_decides_which_pipeline_runs(
    server: KubeflowServer, launcher: KubeflowLauncher, ledger: Ledger
) -> None:
    ledger.record_batch("s.documents", HASH, name="a", keys=["inbox/s.documents/a.json"])
    for stream in ("s", "s.documents"):
        assert launcher.launch(stream, HASH) is True
    made = {
        server.parameters(run.display_name)["stream"]: run.pipeline_spec["pipeline_spec"]
        for run in server.runs.values()
    }
    assert {stream: spec["pipelineInfo"]["name"] for stream, spec in made.items()} == {
        "s": "continual-learning",
        "s.documents": "joint-extraction",
    }


def test_a_batch_that_was_submitted_is_not_submitted_again(
    server: KubeflowServer, launcher: KubeflowLauncher, settings: Settings
) -> None:
    """Neither by the same watcher, nor by one that knows nothing, nor while the run waits."""
    assert launcher.launch("s", HASH) is True
    for state in ("PENDING", "RUNNING", "PAUSED", "CANCELING", None):
        (run,) = server.runs.values()
        run.state = state
        assert launcher.launch("s", HASH) is False
        assert KubeflowLauncher(settings).launch("s", HASH) is False
    assert server.names() == [NAME]


def test_the_next_attempt_is_another_run(
    server: KubeflowServer, launcher: KubeflowLauncher, ledger: Ledger, claim: Callable[..., Claim]
) -> None:
    launcher.launch("s", HASH)
    attempt = claim()
    ledger.record_error(attempt, "train_task", "no memory", True)
    ledger.settle(attempt)
    server.end(NAME, "FAILED")
    assert launcher.launch("s", HASH) is True
    assert server.names() == [NAME, "s-aaaaaaaaaaaa-a2"]


class TestLostAnswers:
    @pytest.mark.parametrize("status", [0, 500, 503], ids=["no answer", "500", "503"])
    def test_a_run_that_was_made_all_the_same(
        self, server: KubeflowServer, launcher: KubeflowLauncher, status: int
    ) -> None:
        server.faults = [Fault("POST", "runs", status, done=True)]
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME]
        assert server.count("POST", "runs") == 1, "it was found, not sent again"

    @pytest.mark.parametrize("status", [0, 500, 503, 429])
    def test_a_run_that_was_not_made(
        self, server: KubeflowServer, launcher: KubeflowLauncher, status: int
    ) -> None:
        server.faults = [Fault("POST", "runs", status) for _ in range(2)]
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME]
        assert server.count("POST", "runs") == 3

    def test_a_conflict_means_that_it_is_there(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        server.faults = [Fault("POST", "runs", 409, done=True)]
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME]

    def test_a_conflict_with_nothing_there_is_told(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        server.faults = [Fault("POST", "runs", 409)]
        with pytest.raises(CfcreError, match="409"):
            launcher.launch("s", HASH)

    def test_the_experiment_too(self, server: KubeflowServer, launcher: KubeflowLauncher) -> None:
        server.faults = [Fault("POST", "experiments", 0, done=True)]
        launcher.launch("s", HASH)
        assert len(server.experiments) == 1
        assert server.names() == [NAME]

    def test_an_experiment_that_another_process_makes_first(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        server.faults = [Fault("POST", "experiments", 409, done=True)]
        launcher.launch("s", HASH)
        assert len(server.experiments) == 1

    def test_a_list_that_fails_is_asked_again(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        launcher.launch("s", HASH)
        server.faults = [Fault("GET", "runs", 500), Fault("GET", "runs", 503)]
        assert launcher.launch("s", HASH) is False
        assert server.names() == [NAME]

    def test_a_server_that_stays_away(
        self, server: KubeflowServer, launcher: KubeflowLauncher, settings: Settings
    ) -> None:
        server.faults = [Fault("POST", "runs", 500) for _ in range(9)]
        with pytest.raises(KubeflowUnavailable, match="answered 500") as caught:
            launcher.launch("s", HASH)
        assert caught.value.retryable
        assert server.count("POST", "runs") == settings.kubeflow.retries + 1
        server.close()
        with pytest.raises(KubeflowUnavailable, match="did not answer"):
            launcher.launch("s", HASH)

    def test_a_server_that_never_answers_is_left(
        self, server: KubeflowServer, settings: Settings, ledger: Ledger
    ) -> None:
        quick = settings.kubeflow.model_copy(update={"request_timeout_seconds": 0.2, "retries": 0})
        with server.lock, pytest.raises(KubeflowUnavailable, match="timed out"):
            KubeflowClient(quick).runs_like("x")


class TestToken:
    @pytest.fixture
    def token(self, settings: Settings, tmp_path: Path) -> Path:
        file = tmp_path / "token"
        file.write_text("first\n")
        return file

    @pytest.fixture
    def with_token(self, settings: Settings, token: Path) -> Settings:
        kubeflow = settings.kubeflow.model_copy(update={"token_file": token})
        return settings.model_copy(update={"kubeflow": kubeflow})

    def test_an_expired_token_is_read_again(
        self, server: KubeflowServer, with_token: Settings, ledger: Ledger, token: Path
    ) -> None:
        server.tokens = {"second"}
        launcher = KubeflowLauncher(with_token)
        # The kubelet renews the file between two tries.
        server.faults = [Fault("GET", "runs", 401, then=lambda: token.write_text("second"))]
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME]
        server.tokens = {"third"}
        token.write_text("third")
        assert launcher.launch("s", HASH) is False, "the same client follows the file"

    def test_a_token_that_expires_in_the_middle_of_a_submission(
        self, server: KubeflowServer, with_token: Settings, ledger: Ledger, token: Path
    ) -> None:
        server.tokens = {"first"}

        def renew() -> None:
            server.tokens = {"second"}
            token.write_text("second")

        server.faults = [Fault("POST", "experiments", 500, done=True, then=renew)]
        assert KubeflowLauncher(with_token).launch("s", HASH) is True
        assert server.names() == [NAME]

    def test_a_token_that_stays_wrong(
        self, server: KubeflowServer, with_token: Settings, ledger: Ledger, token: Path
    ) -> None:
        server.tokens = {"another"}
        with pytest.raises(ConfigurationError, match="expired") as caught:
            KubeflowLauncher(with_token).launch("s", HASH)
        assert str(token) in str(caught.value)
        assert "first" not in str(caught.value), "a token is a secret"
        assert server.runs == {}

    def test_a_token_file_that_is_not_there(
        self, with_token: Settings, ledger: Ledger, token: Path
    ) -> None:
        token.unlink()
        with pytest.raises(ConfigurationError, match="token_file"):
            KubeflowLauncher(with_token).launch("s", HASH)

    def test_a_token_file_that_goes_away(
        self, server: KubeflowServer, with_token: Settings, ledger: Ledger, token: Path
    ) -> None:
        client = KubeflowClient(with_token.kubeflow)
        client.runs_like("x")
        token.unlink()
        with pytest.raises(ConfigurationError, match="can not be read"):
            client.runs_like("x")


class TestRefusals:
    def test_an_unknown_namespace(self, server: KubeflowServer, launcher: KubeflowLauncher) -> None:
        server.namespaces = {"another"}
        with pytest.raises(ConfigurationError, match=r"403.*kubeflow\.namespace"):
            launcher.launch("s", HASH)
        assert server.count("GET", "runs") == 1, "a refusal is not asked again"

    def test_an_experiment_that_was_deleted_is_made_again(
        self, server: KubeflowServer, launcher: KubeflowLauncher, ledger: Ledger
    ) -> None:
        launcher.launch("s", HASH)
        server.runs.clear()
        server.experiments.clear()
        assert launcher.launch("s", HASH) is True
        assert len(server.experiments) == 1

    def test_a_single_user_deployment(
        self, server: KubeflowServer, settings: Settings, ledger: Ledger
    ) -> None:
        server.namespaces = set()
        kubeflow = settings.kubeflow.model_copy(update={"namespace": None})
        launcher = KubeflowLauncher(settings.model_copy(update={"kubeflow": kubeflow}))
        assert launcher.launch("s", HASH) is True
        assert launcher.launch("s", HASH) is False

    def test_an_address_that_is_something_else(
        self,
        server: KubeflowServer,
        settings: Settings,
        ledger: Ledger,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A login page answers everything with 200."""
        monkeypatch.setattr(server, "list", lambda *_: {"title": "please log in"})
        monkeypatch.setattr(server, "post", lambda *_: {"title": "please log in"})
        with pytest.raises(ConfigurationError, match="login page"):
            KubeflowLauncher(settings).launch("s", HASH)

    def test_certificates_that_are_not_there(self, settings: Settings, tmp_path: Path) -> None:
        kubeflow = settings.kubeflow.model_copy(update={"ca_file": tmp_path / "ca.crt"})
        with pytest.raises(ConfigurationError, match="ca_file"):
            KubeflowClient(kubeflow).runs_like("x")

    def test_a_batch_that_nobody_recorded(self, launcher: KubeflowLauncher) -> None:
        with pytest.raises(NotFoundError):
            launcher.launch("s", "b" * 64)


def test_every_page_is_read(server: KubeflowServer, launcher: KubeflowLauncher) -> None:
    server.page_limit = 2
    launcher.launch("s", HASH)
    (mine,) = server.runs.values()
    server.runs.clear()
    for number in range(5):  # other runs whose names hold ours, as the server compares
        other = type(mine)(
            run_id=str(number),
            display_name=f"x{NAME.upper()}{number}",
            experiment_id=mine.experiment_id,
            state="RUNNING",
        )
        server.runs[other.run_id] = other
    server.runs[mine.run_id] = mine
    assert launcher.launch("s", HASH) is False
    assert len(server.runs) == 6
    assert len(KubeflowClient(launcher._settings.kubeflow).runs_like(NAME)) == 6


class TestRunsThatEndInVain:
    """Their image was missing, or they saw another ledger: the attempt's number did not move."""

    def test_another_run_after_a_pause(
        self, server: KubeflowServer, launcher: KubeflowLauncher, settings: Settings
    ) -> None:
        launcher.launch("s", HASH)
        server.end(NAME, "FAILED")
        assert launcher.launch("s", HASH) is False, "a moment ago: not yet"
        (run,) = server.runs.values()
        run.finished_at = run.finished_at.replace(year=2020)
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME, f"{NAME}-r2"]
        assert launcher.launch("s", HASH) is False, "the second one is under way"

    def test_they_are_not_repeated_for_ever(
        self, server: KubeflowServer, launcher: KubeflowLauncher, settings: Settings
    ) -> None:
        for number in range(settings.kubeflow.max_unclaimed_runs):
            assert launcher.launch("s", HASH) is True
            name = NAME if number == 0 else f"{NAME}-r{number + 1}"
            server.end(name, "FAILED")
            for run in server.runs.values():
                run.finished_at = run.finished_at.replace(year=2020)
        with pytest.raises(CfcreError, match=r"5 runs .* ended without claiming"):
            launcher.launch("s", HASH)
        for run in server.runs.values():  # the operator has repaired it
            run.storage_state = "ARCHIVED"
        assert launcher.launch("s", HASH) is True
        assert server.names()[-1] == f"{NAME}-r6", "a name is never used twice"

    def test_a_run_that_was_deleted_is_submitted_again(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        launcher.launch("s", HASH)
        server.runs.clear()
        assert launcher.launch("s", HASH) is True
        assert server.names() == [NAME]


class TestHasEnded:
    def test_only_what_kubeflow_knows_to_be_over(
        self, server: KubeflowServer, launcher: KubeflowLauncher
    ) -> None:
        launcher.launch("s", HASH)
        (run_id,) = server.runs
        assert not launcher.has_ended(run_id)
        server.end(NAME, "CANCELED")
        assert launcher.has_ended(run_id)
        # A local run's id, perhaps: Kubeflow not knowing it says nothing.
        assert not launcher.has_ended("no-such-run")
