"""The ledger behind PgBouncer, which gives a connection to another client after a transaction."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import Databases, connect
from sqlalchemy.engine import make_url

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import bench_ledger

pytestmark = pytest.mark.server


@pytest.fixture
def pooled_url(postgres: Databases, postgres_url: str) -> Iterator[str]:
    """An empty database behind PgBouncer in transaction mode, with two server connections."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    url = make_url(postgres_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="cfcre-pgbouncer-"))
    (folder / "users.txt").write_text(f'"{url.username}" "{url.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{url.database} = host={url.host} port={url.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    identity = {}
    if os.geteuid() == 0:  # which PgBouncer refuses to be
        nobody = pwd.getpwnam("nobody")
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        shutil.chown(folder, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen(
        [program, folder / "pgbouncer.ini"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **identity,  # type: ignore[call-overload]
    )
    pooled = url.set(port=port)
    try:
        for _ in range(200):
            try:
                connect(pooled).close()
                break
            except psycopg.OperationalError:
                time.sleep(0.05)
        yield pooled.render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def test_four_processes_share_two_connections(pooled_url: str, postgres_url: str) -> None:
    # Migration included: its lock is one of the transaction.
    result = bench_ledger.run(pooled_url, processes=4, batches=40, streams=5)
    assert sum(result.claims) == 40
    with connect(pooled_url) as other:
        # What the ledger set for its transactions did not stay for the pooler's next client.
        assert other.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert other.execute("SELECT COUNT(*) FROM pg_prepared_statements").fetchone() == (0,)
        find = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
        found = other.execute(find).fetchone()
        assert found is not None and found[0] <= 2
