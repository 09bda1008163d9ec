"""The tracking server's entry point, started for real with the installed MLflow."""

from __future__ import annotations

import configparser
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tracking_server import ADMIN, FLASK_KEY, Server, environment, run, start

CLIENT = ("cfcre", "another 12 or more")
STRANGER = ("stranger", "also 12 or more")
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


class TestRefusals:
    """What is missing or weak stops the start: exit code 2, one line, no value shown."""

    @pytest.mark.parametrize(
        "name",
        [
            "MLFLOW_BACKEND_STORE_URI",
            "CFCRE_MLFLOW_AUTH_DATABASE_URI",
            "MLFLOW_ARTIFACTS_DESTINATION",
            "MLFLOW_SERVER_ALLOWED_HOSTS",
            "MLFLOW_AUTH_ADMIN_USERNAME",
            "MLFLOW_AUTH_ADMIN_PASSWORD",
            "MLFLOW_FLASK_SERVER_SECRET_KEY",
        ],
    )
    @pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
    def test_nothing_has_a_default(self, name: str, value: str | None, tmp_path: Path) -> None:
        done = run(environment(tmp_path, **{name: value}), "serve")
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith(f"cfcre-mlflow: error: {name} is empty; give ")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("MLFLOW_AUTH_ADMIN_PASSWORD", "eleven-char", "has 11 characters; give 12 or more"),
            ("MLFLOW_AUTH_ADMIN_PASSWORD", "two lines\nof a password", "holds a line break"),
            ("MLFLOW_FLASK_SERVER_SECRET_KEY", "short-key", "has 9 characters; give 32"),
            ("MLFLOW_SERVER_ALLOWED_HOSTS", "*", "allows every host"),
            ("MLFLOW_SERVER_ALLOWED_HOSTS", "a.example, *", "allows every host"),
            ("MLFLOW_BACKEND_STORE_URI", "/some/folder", "no database this image has"),
            ("MLFLOW_BACKEND_STORE_URI", "file:///some/folder", "no database this image has"),
            ("CFCRE_MLFLOW_AUTH_DATABASE_URI", "mysql://u:hidden-pw@h/d", "no database this image"),
            ("CFCRE_MLFLOW_DEFAULT_PERMISSION", "ALL", "give NO_PERMISSIONS, READ"),
        ],
    )
    def test_what_is_weak(self, name: str, value: str, says: str, tmp_path: Path) -> None:
        done = run(environment(tmp_path, **{name: value}), "serve")
        expected = says.replace("no database", "is not a database") if "database" in says else says
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert name in done.stderr and expected in done.stderr
        assert "hidden-pw" not in done.stderr and "eleven-char" not in done.stderr
        assert not list((tmp_path / "tmp").iterdir()), "nothing is written before all is checked"

    def test_a_password_that_is_the_name(self, tmp_path: Path) -> None:
        same = {
            "MLFLOW_AUTH_ADMIN_USERNAME": "administrator",
            "MLFLOW_AUTH_ADMIN_PASSWORD": "administrator",
        }
        done = run(environment(tmp_path, **same), "serve")
        assert done.returncode == 2 and "is the user's name" in done.stderr

    def test_another_command_is_run_as_it_is(self, tmp_path: Path) -> None:
        assert run(environment(tmp_path), "echo", "hello").stdout == "hello\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking-server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    # As passwords in addresses are: a percent sign and two digits, which stand for an A.
    address = f"sqlite:///{folder}/users%41.db"
    running = start(environment(folder, CFCRE_MLFLOW_AUTH_DATABASE_URI=address))
    yield running
    if running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def create_user(server: Server, login: tuple[str, str], by: tuple[str, str] = ADMIN) -> int:
    body = json.dumps({"username": login[0], "password": login[1]}).encode()
    return server.ask("/api/2.0/mlflow/users/create", by, method="POST", body=body).status


@pytest.mark.server
@pytest.mark.slow
class TestServer:
    def test_health_needs_no_login_and_takes_any_host(self, server: Server) -> None:
        assert server.ask("/health").text == "OK"
        assert server.ask("/health", host="10.0.0.7:5000").status == 200

    @pytest.mark.parametrize("path", [SEARCH, "/", "/api/2.0/mlflow-artifacts/artifacts?path="])
    def test_everything_else_needs_one(self, server: Server, path: str) -> None:
        assert server.ask(path).status == 401
        assert server.ask(path, (ADMIN[0], "password1234")).status == 401
        assert server.ask(path, ("admin", "password1234")).status == 401

    def test_the_administrator_gets_in(self, server: Server) -> None:
        assert server.ask(SEARCH, ADMIN).status == 200

    def test_only_the_hosts_that_are_named(self, server: Server) -> None:
        assert server.ask(SEARCH, ADMIN, host="mlflow.example.org").status == 200
        assert server.ask(SEARCH, ADMIN, host="rebound.example.net").status == 403

    def test_the_configuration_file(self, server: Server, folder: Path) -> None:
        (made,) = (folder / "tmp").glob("cfcre-mlflow.*")
        (file,) = made.iterdir()
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        parser = configparser.ConfigParser()
        parser.read(file)
        assert parser["mlflow"]["database_uri"] == f"sqlite:///{folder}/users%41.db"
        assert "password" not in file.read_text()
        # It is the file that the server reads: the users are in that database and in no other.
        assert (folder / "usersA.db").is_file() and not (folder / "users.db").exists()

    def test_no_secret_is_an_argument_or_a_line_of_the_log(
        self, server: Server, folder: Path
    ) -> None:
        from local_processes import tree

        lines = [" ".join(arguments) for arguments in tree(server.process.pid).values()]
        assert any("mlflow" in line for line in lines)
        for text in [*lines, server.log.read_text()]:
            for secret in (ADMIN[1], FLASK_KEY, f"{folder}/users", f"{folder}/tracking.db"):
                assert secret not in text

    def test_artifacts_go_through_the_server(
        self, server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow import MlflowClient

        assert create_user(server, CLIENT, by=CLIENT) == 401
        assert create_user(server, CLIENT) == 200
        assert create_user(server, STRANGER, by=CLIENT) == 403
        assert create_user(server, STRANGER) == 200
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", CLIENT[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CLIENT[1])
        client = MlflowClient(server.address, server.address)
        experiment = client.create_experiment("of the client")
        run_id = client.create_run(experiment).info.run_id
        content = bytes(range(256)) * 5000
        (tmp_path / "weights.bin").write_bytes(content)
        client.log_artifact(run_id, str(tmp_path / "weights.bin"), "model")
        (found,) = client.list_artifacts(run_id, "model")
        assert (found.path, found.file_size) == ("model/weights.bin", len(content))
        fetched = client.download_artifacts(run_id, "model/weights.bin", str(tmp_path / "back"))
        assert Path(fetched).read_bytes() == content
        # The server keeps it in its own place; the client never had an address of that.
        (kept,) = (folder / "artifacts").rglob("weights.bin")
        assert kept.read_bytes() == content
        assert client.get_run(run_id).info.artifact_uri.startswith("mlflow-artifacts:/")

        # A user to whom nothing was granted sees nothing of it.
        run_path = f"/api/2.0/mlflow/runs/get?run_id={run_id}"
        artifact = f"/get-artifact?path=model/weights.bin&run_uuid={run_id}"
        proxied = (
            f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/model/weights.bin"
        )
        assert server.ask(run_path, CLIENT).status == 200
        for path in (run_path, artifact, proxied):
            assert server.ask(path, STRANGER).status == 403, path
            assert server.ask(path).status == 401, path
        body = json.dumps({"user_id": "x", "experiment_id": experiment}).encode()
        created = "/api/2.0/mlflow/runs/create"
        assert server.ask(created, STRANGER, method="POST", body=body).status == 403

    def test_it_stops_when_told_and_starts_again(self, server: Server, folder: Path) -> None:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
        address = f"sqlite:///{folder}/users%41.db"
        # The administrator exists: the password of the environment is not looked at any more.
        again = start(
            environment(
                folder,
                CFCRE_MLFLOW_AUTH_DATABASE_URI=address,
                MLFLOW_AUTH_ADMIN_PASSWORD="a later one, not used",
            )
        )
        try:
            assert again.ask(SEARCH, ADMIN).status == 200
            assert again.ask(SEARCH, (ADMIN[0], "a later one, not used")).status == 401
        finally:
            os.killpg(again.process.pid, signal.SIGKILL)
            again.process.wait()


@pytest.mark.slow
class TestMigrate:
    def test_it_makes_both_databases_and_changes_nothing_again(self, tmp_path: Path) -> None:
        import sqlite3

        values = environment(tmp_path)
        for _ in range(2):
            done = run(values, "migrate")
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[-1].endswith("have this version's schema")
        for name, table in {
            "tracking.db": "alembic_version",
            "users.db": "alembic_version_auth",
        }.items():
            with sqlite3.connect(tmp_path / name) as database:
                assert len(database.execute(f"SELECT version_num FROM {table}").fetchall()) == 1

    def test_a_database_that_does_not_answer(self, tmp_path: Path) -> None:
        pytest.importorskip("psycopg", reason="psycopg (extra postgres) is not installed")
        url = "postgresql://someone:hidden-password@127.0.0.1:9/nowhere"
        done = run(environment(tmp_path, MLFLOW_BACKEND_STORE_URI=url), "migrate")
        assert done.returncode == 75
        assert "did not answer" in done.stderr and "hidden-password" not in done.stderr

    def test_several_at_once_on_postgres(self, tmp_path: Path) -> None:
        helper = pytest.importorskip(
            "postgres_server", reason="tests/postgres_server.py needs psycopg (extra postgres)"
        )
        with helper.databases() as databases:
            if isinstance(databases, str):
                pytest.skip(databases)
            tracking, users = databases.create(), databases.create()
            values = environment(
                tmp_path, MLFLOW_BACKEND_STORE_URI=tracking, CFCRE_MLFLOW_AUTH_DATABASE_URI=users
            )

            def migrate(_: int) -> subprocess.CompletedProcess[str]:
                return run(values, "migrate")

            with ThreadPoolExecutor(3) as pool:
                outcomes = list(pool.map(migrate, range(3)))
            assert [done.returncode for done in outcomes] == [0, 0, 0], outcomes[0].stderr
            with helper.connect(tracking) as connection:
                assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1
