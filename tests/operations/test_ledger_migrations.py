"""Migrations: a new ledger, one of the first release, a newer one, many processes, few rights."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier as BarrierType
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres_server import Databases, connect
from processes import run_all
from sqlalchemy import Engine, MetaData, create_engine, inspect, select, text
from sqlalchemy.engine import make_url

from cfcre.errors import CfcreError, ConfigurationError
from cfcre.operations.ledger import Ledger
from cfcre.operations.ledger.migrate import alembic_config
from cfcre.operations.ledger.tables import REVISION, REVISION_TABLE, metadata
from cfcre.operations.owner import current_owner

FIRST_RELEASE = Path(__file__).parent / "schema_1"
"""Ledgers that the first release made and filled: its statements, and the rows dumped."""
CLAIM: dict[str, Any] = {"lease_seconds": 600, "max_attempts": 3, "max_interruptions": 3}


@pytest.fixture
def first_release(empty_url: str) -> str:
    """A ledger as the first release left it: tasks learned, held, failed, and one running."""
    url = make_url(empty_url)
    if url.get_backend_name() == "sqlite":
        script = (FIRST_RELEASE / "sqlite.sql").read_text(encoding="utf-8")
        connection = sqlite3.connect(url.database or "")
        connection.executescript(script)
        connection.close()
    else:
        with connect(url) as postgres:
            postgres.execute((FIRST_RELEASE / "postgresql.sql").read_bytes())
    return empty_url


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = create_engine(empty_url)
    yield made
    made.dispose()


def rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that the first release knew."""
    reflected = MetaData()
    reflected.reflect(engine)
    with engine.connect() as connection:
        return {
            name: sorted(tuple(map(str, row)) for row in connection.execute(select(table)))
            for name, table in reflected.tables.items()
            if name not in {REVISION_TABLE, "cfcre_leaders", "cfcre_schema"}
        }


def schema(url: str, postgres: Databases | None) -> list[str]:
    """The database's own words for its schema: sqlite_master, or pg_dump."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        connection = sqlite3.connect(parsed.database or "")
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        connection.close()
        texts = [" ".join(sql.split()).replace(", ", ",") for (sql,) in found]
    else:
        assert postgres is not None
        if postgres.binaries is None:
            pytest.skip("pg_dump is not known: the server was given by its address")
        done = subprocess.run(
            [
                *(postgres.binaries / "pg_dump", "--schema-only", "--no-owner"),
                *("-h", str(parsed.host), "-p", str(parsed.port), "-U", str(parsed.username)),
                str(parsed.database),
            ],
            env={**os.environ, "PGPASSWORD": parsed.password or ""},
            capture_output=True,
            text=True,
            check=True,
        )
        texts = [part for part in re.split(r"\n\n+", done.stdout) if "cfcre_" in part]
        texts = [part for part in texts if not part.startswith("--")]
    return sorted(part for part in texts if REVISION_TABLE not in part)


def migrate_once(url: str, number: int, barrier: BarrierType, pipe: Pipe) -> None:
    ledger = Ledger(url, timeout_seconds=120)
    barrier.wait()
    pipe.send(ledger.migrate())


def test_the_newest_revision_is_the_one_the_code_names(engine: Engine) -> None:
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(alembic_config(connection))
    assert script.get_heads() == [REVISION]
    assert [r.down_revision for r in script.walk_revisions()] == ["0001", None]


def test_the_migrated_schema_is_the_one_of_the_tables(empty_url: str, engine: Engine) -> None:
    assert Ledger(empty_url).migrate() == (None, REVISION)
    with engine.connect() as connection:
        options = {"version_table": REVISION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("origin", ["new", "first release"])
def test_the_database_sees_no_difference_to_the_tables(
    origin: str, empty_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if origin == "first release":
        request.getfixturevalue("first_release")
    Ledger(empty_url).migrate()
    postgres: Databases | None = None
    other = f"sqlite:///{tmp_path / 'other.db'}"
    if not empty_url.startswith("sqlite"):
        postgres = request.getfixturevalue("postgres")
        other = postgres.create()
    made = create_engine(other)
    metadata.create_all(made)
    made.dispose()
    found, wanted = schema(empty_url, postgres), schema(other, postgres)
    if postgres is not None:
        postgres.drop(other)
    assert len(found) > 8
    assert found == wanted


def test_a_ledger_of_the_first_release_is_taken_over_without_loss(
    first_release: str, engine: Engine
) -> None:
    before = rows(engine)
    assert len(before["cfcre_batches"]) == 9 and len(before["cfcre_claims"]) == 4
    ledger = Ledger(first_release)
    if engine.dialect.name == "sqlite":
        ledger.create()  # an embedded ledger migrates by itself
    else:
        with pytest.raises(ConfigurationError, match=r"revision none.*run 'cfcre migrate'"):
            ledger.create()
        assert rows(engine) == before and not inspect(engine).has_table(REVISION_TABLE)
        assert ledger.migrate() == (None, REVISION)
    assert rows(engine) == before
    assert ledger.schema() == (REVISION, REVISION)
    # Work goes on: the running task ends, the next one follows, numbers continue.
    assert ledger.champion() == "1"
    claim = ledger.live_claim("wiki")
    assert claim is not None
    assert ledger.settle(claim.run_name).ending == "interruption"
    following = ledger.claim("news", owner=current_owner(), **CLAIM)
    assert following is not None
    assert (following.task, following.parent_version, following.token) == (3, "2", 4)
    new = ledger.record_batch("wiki", "f" * 64, name="f", keys=["inbox/wiki/f.jsonl"])
    assert new.batch.sequence == 5
    assert ledger.acquire_leader("watch", "me", 60)
    ledger.close()


def test_the_first_release_refuses_a_migrated_ledger(first_release: str, engine: Engine) -> None:
    # It reads this number when it opens a ledger, and stops where it is not 1.
    query = text("SELECT version FROM cfcre_schema")
    with engine.connect() as connection:
        assert connection.execute(query).scalars().all() == [1]
    Ledger(first_release).migrate()
    with engine.connect() as connection:
        assert connection.execute(query).scalars().all() == [2]


def test_a_newer_ledger_is_refused(ledger_url: str) -> None:
    made = create_engine(ledger_url)
    with made.begin() as connection:
        connection.execute(text(f"UPDATE {REVISION_TABLE} SET version_num = '9999'"))
    made.dispose()
    for call in (Ledger(ledger_url).create, Ledger(ledger_url).migrate):
        with pytest.raises(ConfigurationError, match=r"9999.*newer version"):
            call()
    assert Ledger(ledger_url).schema() == ("9999", REVISION)


def test_tables_of_unknown_origin_are_left_alone(empty_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE cfcre_streams (name TEXT)"))
    with pytest.raises(ConfigurationError, match="neither a revision nor schema number 1"):
        Ledger(empty_url).migrate()
    assert inspect(engine).get_table_names() == ["cfcre_streams"]


def test_a_migration_that_fails_leaves_nothing(first_release: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE cfcre_leaders (name TEXT)"))
    before = rows(engine)
    with pytest.raises(CfcreError, match="cfcre_leaders"):
        Ledger(first_release).migrate()
    assert rows(engine) == before and not inspect(engine).has_table(REVISION_TABLE)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE cfcre_leaders"))
    assert Ledger(first_release).migrate() == (None, REVISION)


def test_eight_processes_migrate_once(first_release: str, engine: Engine) -> None:
    results = run_all(migrate_once, first_release, 8)
    assert sorted(results, key=str) == [(REVISION, REVISION)] * 7 + [(None, REVISION)]
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}"))
        assert found.scalars().all() == [REVISION]


def test_opening_a_current_ledger_needs_no_alembic(ledger_url: str) -> None:
    code = (
        "import os, sys\nfrom cfcre.operations.ledger import Ledger\n"
        "Ledger(os.environ['LEDGER']).create()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LEDGER": ledger_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


@pytest.mark.server
def test_a_user_without_rights_on_the_schema_works_and_is_told_who_migrates(
    postgres: Databases, postgres_url: str
) -> None:
    url = make_url(postgres_url)
    role = f"worker_{os.getpid()}"
    worker = url.set(username=role, password="of-the-worker").render_as_string(hide_password=False)
    with connect(url) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'of-the-worker'")  # type: ignore[call-overload]
        try:
            ledger = Ledger(worker)
            for call in (ledger.create, ledger.migrate):
                with pytest.raises(ConfigurationError, match=r"permission denied.*cfcre migrate"):
                    call()
            # What docs/ledger.md tells the owner to grant; tables of later revisions included.
            owner.execute(
                f"ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE ON TABLES TO {role};"  # type: ignore[call-overload]
                f"ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {role}"
            )
            Ledger(postgres_url).migrate()
            ledger.create()
            ledger.record_batch("s", "a" * 64, name="a", keys=["a"])
            claim = ledger.claim("s", owner=current_owner(), **CLAIM)
            assert claim is not None
            ledger.advance(claim, "evaluated", model_version="1", verdict="promote")
            ledger.promote_candidate(claim, reason="ok")
            assert ledger.settle(claim).state == "promoted"
            assert ledger.acquire_leader("watch", "me", 60)
            ledger.release_leader("watch", "me")
            ledger.close()
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")  # type: ignore[call-overload]
