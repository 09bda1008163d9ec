"""Stages called directly: what they tell the ledger when things go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_pipeline import running

from cfcre.cli.main import main
from cfcre.config import Settings, load_settings
from cfcre.data.files import write_json
from cfcre.errors import BatchRejected, LeaseLost, StoreUnavailable
from cfcre.operations import launch
from cfcre.operations.events import RUN_DIR_VARIABLE
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.local_run import connections, trim_runs
from cfcre.operations.owner import Owner, current_owner
from cfcre.operations.stages import claim as claim_stage
from cfcre.operations.stages import ingest, settle
from cfcre.operations.stages.common import open_ledger, stage, stage_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("CFCRE_HOME", str(folder))
    monkeypatch.delenv("CFCRE_RUN_DIR", raising=False)
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
def portable(settings: Settings) -> str:
    return json.dumps(settings.portable())


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return open_ledger(settings)


@pytest.fixture
def submitted(home: Path, tmp_path: Path, relation_rows) -> Path:
    file = tmp_path / "rows.jsonl"
    rows = relation_rows(["founded", "owns"], 12)
    file.write_text("".join(json.dumps(r.to_json()) + "\n" for r in rows))
    assert main(["submit", str(file), "--stream", "s"]) == 0
    return file


def claimed(portable: str, tmp_path: Path, run: str = "run-1") -> str | None:
    out = tmp_path / "claim.json"
    found = claim_stage.run(stream="s", batch="", settings=portable, run=run, claimed=str(out))
    assert found == bool(json.loads(out.read_text()))
    return out.read_text() if found else None


def batch_of(ledger: Ledger) -> dict:
    (stream,) = ledger.status("s")["streams"]
    (batch,) = [*stream["tasks"], *stream["pending"]]
    return batch


class TestClaim:
    def test_a_bare_schedule_finds_what_is_in_the_inbox(
        self, submitted, portable, tmp_path, ledger
    ) -> None:
        text = claimed(portable, tmp_path)
        assert text is not None
        claim = Claim.from_json(json.loads(text))
        assert (claim.task, claim.attempt, claim.parent_version) == (1, 1, None)
        assert batch_of(ledger)["state"] == "claimed"
        # The next pipeline run finds the stream busy, and that is no error.
        assert claimed(portable, tmp_path, "run-2") is None

    def test_nothing_to_do_is_no_error(self, home, portable, tmp_path) -> None:
        assert claimed(portable, tmp_path) is None

    def test_the_claim_fits_into_a_command_line(self, submitted, portable, tmp_path) -> None:
        claim = json.loads(claimed(portable, tmp_path) or "")
        assert claim["keys"] == [claim["manifest_key"]]


class TestSettle:
    def settle(self, portable: str, run: str) -> None:
        settle.run(stream="s", batch="", settings=portable, run=run, state="FAILED")

    def test_another_run_is_left_alone(self, submitted, portable, tmp_path, ledger) -> None:
        claimed(portable, tmp_path, "run-1")
        self.settle(portable, "run-2")
        assert batch_of(ledger)["state"] == "claimed"

    def test_a_run_that_vanished_is_tried_again(
        self, submitted, portable, tmp_path, ledger
    ) -> None:
        claimed(portable, tmp_path, "run-1")
        for _ in range(2):  # a second time changes nothing
            self.settle(portable, "run-1")
            batch = batch_of(ledger)
            assert (batch["state"], batch["interruptions"], batch["attempts"]) == ("seen", 1, 0)

    def test_a_rejected_batch_is_moved_with_its_reason(
        self, submitted, portable, tmp_path, ledger, home
    ) -> None:
        text = claimed(portable, tmp_path) or ""
        with pytest.raises(BatchRejected), stage("validate", text, portable):
            raise BatchRejected("too_few_rows", "not enough")
        self.settle(portable, "run-1")
        batch = batch_of(ledger)
        assert (batch["state"], batch["reason"]) == ("rejected", "too_few_rows")
        assert batch["detail"] == "not enough"  # the reason is not said twice
        moved = home / "store" / "rejected" / "s" / batch["batch"]
        assert json.loads((moved / "reason.json").read_text())["reason"] == "too_few_rows"
        assert not [p for p in (home / "store/inbox").rglob("*") if p.is_file()]


class TestStage:
    def test_its_time_is_recorded(self, submitted, portable, tmp_path, ledger) -> None:
        text = claimed(portable, tmp_path) or ""
        ingest.run(claim=text, settings=portable, raw=str(tmp_path / "raw.jsonl"))
        assert batch_of(ledger)["seconds"]["ingest"] > 0

    def test_an_error_is_recorded_with_whether_a_retry_helps(
        self, submitted, portable, tmp_path, ledger
    ) -> None:
        text = claimed(portable, tmp_path) or ""
        with pytest.raises(StoreUnavailable), stage("ingest", text, portable):
            raise StoreUnavailable("no\nanswer")
        outcome = ledger.settle(Claim.from_json(json.loads(text)))
        assert (outcome.ending, outcome.state) == ("failure", "seen")
        assert "no answer" in str(outcome.detail)

    def test_a_bug_of_ours_never_looks_like_the_data(
        self, submitted, portable, tmp_path, ledger
    ) -> None:
        text = claimed(portable, tmp_path) or ""
        with pytest.raises(KeyError), stage("ingest", text, portable):
            raise KeyError("x")
        outcome = ledger.settle(Claim.from_json(json.loads(text)))
        assert (outcome.ending, outcome.state) == ("failure", "seen")
        assert "KeyError" in str(outcome.detail)

    def test_a_stale_token_does_nothing(self, submitted, portable, tmp_path, ledger) -> None:
        text = claimed(portable, tmp_path) or ""
        ledger.settle(Claim.from_json(json.loads(text)))
        ran = []
        with pytest.raises(LeaseLost), stage("ingest", text, portable):
            ran.append(1)
        assert ran == []
        batch = batch_of(ledger)
        assert (batch["state"], batch["attempts"]) == ("seen", 0)

    def test_an_interrupt_is_not_the_batchs_fault(
        self, submitted, portable, tmp_path, ledger
    ) -> None:
        text = claimed(portable, tmp_path) or ""
        with pytest.raises(KeyboardInterrupt), stage("ingest", text, portable):
            raise KeyboardInterrupt
        assert ledger.settle(Claim.from_json(json.loads(text))).ending == "interruption"

    def test_settings_travel_whole(self, home, portable) -> None:
        """A configuration file of the home must not undo an option of the command line."""
        home.mkdir()
        (home / "config.yaml").write_text("seed: 99\n")
        travelling = json.dumps(load_settings(assignments=["seed=5"]).portable())
        assert stage_settings(travelling).seed == 5
        assert stage_settings(travelling).home == home


class TestLocalRun:
    def test_defaults_stay_defaults_in_the_components(self, tmp_path) -> None:
        plain = connections(load_settings(home=tmp_path, environ={}))
        assert plain.pop("CFCRE_HOME") == str(tmp_path)
        assert set(plain.values()) == {None}
        given = {
            "store.url": "s3://b/p",
            "tracking.uri": "http://h",
            "ledger.url": "postgresql://h",
        }
        full = connections(load_settings(home=tmp_path, overrides=given, environ={}))
        assert full["CFCRE_STORE"] == "s3://b/p"
        assert full["MLFLOW_TRACKING_URI"] == "http://h"
        assert full["CFCRE_LEDGER"] == "postgresql://h"

    def test_old_runs_go_and_running_ones_stay(self, tmp_path) -> None:
        owners = {
            "dead": Owner(current_owner().host, current_owner().boot_id, 2**22 - 3, "1"),
            "running": Owner(current_owner().host, current_owner().boot_id, os.getppid(), ""),
        }
        # Same namespace as this process, or nothing can be said about it.
        namespace = current_owner().pid_namespace
        for number, name in enumerate(["a", "running", "b", "c", "dead"]):
            folder = tmp_path / "runs" / name
            folder.mkdir(parents=True)
            owner = owners.get(name, current_owner()).to_json() | {"pid_namespace": namespace}
            (folder / "owner.json").write_text(json.dumps(owner))
            os.utime(folder, (number, number))
        trim_runs(tmp_path, 2)
        assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["c", "dead", "running"]
        trim_runs(tmp_path, 0)
        assert [p.name for p in (tmp_path / "runs").iterdir()] == ["running"]

    def test_the_interpreter_is_found_under_its_plain_name(self, tmp_path, monkeypatch) -> None:
        for name in ("PATH", "TMPDIR"):
            monkeypatch.setenv(name, os.environ.get(name, ""))
        odd = tmp_path / "a folder" / "python3.11"
        odd.parent.mkdir()
        odd.symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(odd))
        launch._prepare_interpreter(tmp_path, prefork=False)
        assert sys.executable == "python3"
        found = os.popen(
            "command -v python3; python3 -c 'import sys; print(sys.executable)'"
        ).read()
        shim, real = found.splitlines()
        assert shim == str(tmp_path / "bin" / "python3")
        assert real == str(odd)

    @pytest.mark.slow
    def test_a_run_goes_on_where_no_socket_can_be_made(self, tmp_path) -> None:
        """As on a file system that holds none; nothing waits, so the run ends green."""
        settings = load_settings(home=tmp_path / "home", environ={})
        open_ledger(settings)
        code = (
            "import sys\n"
            "from cfcre.operations import launch\n"
            "def refuse(run_dir):\n    raise PermissionError('no sockets here')\n"
            "launch.server.start = refuse\n"
            "sys.exit(launch.main(sys.argv[1:]))"
        )
        run_dir = tmp_path / "run"
        run_dir.mkdir()
        write_json(run_dir / "settings.json", settings.portable())
        done = subprocess.run(
            [sys.executable, "-c", code, "--run-dir", str(run_dir), "--stream", "s"],
            capture_output=True,
            text=True,
            env={**os.environ, "CFCRE_HOME": str(settings.home), RUN_DIR_VARIABLE: str(run_dir)},
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no server, stages start by themselves: no sockets here" in done.stderr

    def test_the_launcher_leaves_with_its_parent(self, tmp_path) -> None:
        """A process whose parent dies kills its whole session."""
        code = (
            "import os, time\n"
            "from cfcre.operations.launch import _end_with\n"
            "if os.fork():\n    time.sleep(1); os._exit(0)\n"
            "os.setsid(); _end_with(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.wait(timeout=30) == 0
        end = time.monotonic() + 10
        while time.monotonic() < end and running([child]):
            time.sleep(0.05)
        assert running([child]) == []
