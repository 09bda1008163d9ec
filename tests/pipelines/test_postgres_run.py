"""The whole pipeline on this machine, with the ledger and MLflow on Postgres."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from local_pipeline import STAGES, make_home
from postgres_server import PASSWORD, Databases, connect

pytestmark = [pytest.mark.slow, pytest.mark.server]


def test_a_batch_becomes_the_champion_over_postgres(
    postgres: Databases, tmp_path: Path, tiny_encoder: Path, batch_files: list[Path]
) -> None:
    ledger, tracking = postgres.create(), postgres.create()
    databases = ("--ledger", ledger, "--tracking-uri", tracking)
    home = make_home(tmp_path / "home", tiny_encoder)
    try:
        behind = home.run("migrate", "--check", *databases, code=1)
        assert "needs" in behind.stdout and "run 'cfcre migrate'" in behind.stderr
        assert home.run("migrate", *databases).stdout.count("migrated from nothing to") == 2
        home.run("migrate", "--check", *databases)
        home.run("submit", str(batch_files[0]), "--stream", "news")
        watched = home.run("watch", "--until-idle", *databases)
        status = home.run("status", "--json", *databases)
        (task,) = json.loads(status.stdout)["streams"][0]["tasks"]
        assert (task["state"], task["model_version"]) == ("promoted", "1")
        assert set(STAGES[:-1]) <= set(task["seconds"])
        (version,) = json.loads(home.run("models", "--json", *databases).stdout)["versions"]
        assert (version["version"], sorted(version["aliases"])) == ("1", ["challenger", "champion"])
        # The databases' own word, without this project's code or MLflow's.
        with connect(ledger) as rows:
            query = "SELECT state, attempt, task FROM cfcre_batches"
            assert rows.execute(query).fetchall() == [("promoted", 1, 1)]
            assert rows.execute("SELECT ending FROM cfcre_claims").fetchall() == [("learned",)]
        with connect(tracking) as rows:
            query = "SELECT alias, version FROM registered_model_aliases ORDER BY alias"
            assert rows.execute(query).fetchall() == [("challenger", 1), ("champion", 1)]
        # Nothing went to the embedded databases, and the password went nowhere.
        assert not (home.path / "ledger.db").exists() and not (home.path / "mlflow.db").exists()
        secret = PASSWORD.encode()
        assert postgres.admin.password == PASSWORD
        assert all(PASSWORD not in done.stdout + done.stderr for done in (watched, behind, status))
        files = [path for path in home.path.rglob("*") if path.is_file()]
        assert any(path.name == "log.txt" for path in files)
        assert [path for path in files if secret in path.read_bytes()] == []
    finally:
        postgres.drop(ledger)
        postgres.drop(tracking)
