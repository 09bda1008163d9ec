"""``cfcre migrate``: what it says, what it changes, when it waits."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from postgres_server import Databases, connect

from cfcre.cli.main import main
from cfcre.errors import CfcreError, ConfigurationError, LedgerUnavailable
from cfcre.operations.databases import wait_for
from cfcre.operations.ledger.tables import REVISION

SERVER = ("--tracking-uri", "https://mlflow.invalid")  # looks after its own database


def run(home: Path, *arguments: str, code: int = 0) -> None:
    assert main(["migrate", *arguments, "--home", str(home)]) == code


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cfcre.cli.main", "migrate", "--home", str(home), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_an_embedded_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    run(home, "--check", code=1)
    output = capsys.readouterr()
    assert output.out.count("is at no revision, needs") == 2
    assert output.err == (
        "cfcre: error: a schema is not the one that this version needs: run 'cfcre migrate'\n"
    )
    assert not home.exists()  # looking creates nothing
    run(home)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ledger sqlite:///{home}/ledger.db: migrated from nothing to {REVISION}"
    assert lines[1].startswith(f"MLflow sqlite:///{home}/mlflow.db: migrated from nothing to ")
    run(home)
    assert capsys.readouterr().out.count("nothing to do") == 2
    run(home, "--check")
    assert capsys.readouterr().out.count("current") == 2


def test_an_older_mlflow_database_is_upgraded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its newest migration is undone by hand: that is an older version's database.
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    run(tmp_path)
    config = _get_alembic_config(f"sqlite:///{tmp_path}/mlflow.db")
    command.downgrade(config, "-1")
    run(tmp_path, "--check", code=1)
    assert "MLflow" in capsys.readouterr().out
    run(tmp_path)
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    ((found,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert capsys.readouterr().out.splitlines()[-1].endswith(f" to {found}")
    run(tmp_path, "--check")


def test_a_tracking_server_looks_after_its_own_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, *SERVER)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.server
def test_several_at_once_over_one_empty_postgres_database(
    postgres_url: str, tmp_path: Path
) -> None:
    # The ledger and MLflow may share a database. Each process has a home of its own, as pods do.
    both = ("--ledger", postgres_url, "--tracking-uri", postgres_url)
    started = [start(tmp_path / str(number), *both) for number in range(3)]
    outputs = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    said = "".join(out for out, _ in outputs)
    assert said.count("migrated from nothing to") == 2 and said.count("nothing to do") == 4
    with connect(postgres_url) as rows:
        query = "SELECT version_num FROM cfcre_revision"
        assert rows.execute(query).fetchall() == [(REVISION,)]
        assert rows.execute("SELECT COUNT(*) FROM alembic_version").fetchall() == [(1,)]


@pytest.mark.server
def test_it_waits_for_the_server_and_check_waits_for_the_migration(
    postgres: Databases, postgres_url: str, tmp_path: Path
) -> None:
    if postgres.server is None:
        pytest.skip("the server was given by its address: it is not ours to stop")
    ledger = ("--ledger", postgres_url, *SERVER)
    postgres.server.stop()
    try:
        run(tmp_path, *ledger, code=75)
        waiting = start(tmp_path, "--wait", "120", *ledger)
        looking = start(tmp_path, "--check", "--wait", "120", *ledger)
    finally:
        postgres.server.start()
    for process in (waiting, looking):
        output = process.communicate(timeout=180)
        assert process.returncode == 0, output
    run(tmp_path, "--check", *ledger)


def test_waiting_has_an_end_and_wrong_settings_are_not_waited_for() -> None:
    now = [0.0]
    asked: list[float] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def step(answers: Sequence[CfcreError | str]) -> str:
        asked.append(now[0])
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, CfcreError):
            raise answer
        return answer

    def wait(answers: Sequence[CfcreError | str], seconds: float) -> str:
        asked.clear()
        now[0] = 0.0
        return wait_for(
            lambda: step(answers),
            seconds,
            done=lambda answer: answer == "done",
            clock=lambda: now[0],
            sleep=sleep,
        )

    away, wrong = LedgerUnavailable("away"), ConfigurationError("wrong")
    assert wait([away, "behind", "done"], 10) == "done"
    assert asked == [0.0, 1.0, 2.0]
    assert wait(["behind"], 3) == "behind"
    assert asked == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(LedgerUnavailable):
        wait([away], 2)
    assert asked == [0.0, 1.0, 2.0]
    with pytest.raises(ConfigurationError):
        wait([away, wrong, "done"], 10)
    assert asked == [0.0, 1.0]
    with pytest.raises(LedgerUnavailable):
        wait([away, "done"], 0)
    assert asked == [0.0]
