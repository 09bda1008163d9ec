"""The images built and run. Only on request: a build fetches hundreds of megabytes.

    CFCRE_TEST_IMAGES=1 .venv/bin/python -m pytest tests/images/test_build.py

The variables of k8s/images/build.sh say from what and with what (BASE_IMAGE, PIP_CONF, …).
CFCRE_TEST_RUN is the command that runs containers; default: docker or podman, whichever is there.
CFCRE_TEST_REGISTRY takes images that are there already, under that name, instead of building.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

# As in the manifests: no capability, no new privilege, a root that can not be written, no network.
HARDENED = [
    "--rm",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=none",
    "--tmpfs=/tmp:rw,mode=1777",
    # Where no service manager runs, podman complains about every health check it can not time.
    "--no-healthcheck",
]


SERVER = {
    "MLFLOW_BACKEND_STORE_URI": "sqlite:////tmp/tracking.db",
    "CFCRE_MLFLOW_AUTH_DATABASE_URI": "sqlite:////tmp/users.db",
    "MLFLOW_ARTIFACTS_DESTINATION": "/tmp/artifacts",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:5000",
    "MLFLOW_AUTH_ADMIN_USERNAME": "operator",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "for tests alone",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "CFCRE_MLFLOW_WORKERS": "1",
}


@pytest.fixture(scope="module")
def runner() -> list[str]:
    """The command that runs containers."""
    if not os.environ.get("CFCRE_TEST_IMAGES"):
        pytest.skip("images are built only on request: set CFCRE_TEST_IMAGES=1")
    if os.environ.get("CFCRE_TEST_RUN"):
        return shlex.split(os.environ["CFCRE_TEST_RUN"])
    if subprocess.run(["sh", "-c", "docker info"], capture_output=True).returncode == 0:
        return ["docker"]
    if shutil.which("podman"):
        return ["podman"]
    pytest.skip("neither a docker daemon answers nor is podman installed")


@pytest.fixture(scope="module")
def registry(runner: list[str]) -> str:
    """Where the images are, built if need be; the first part of their names."""
    given = os.environ.get("CFCRE_TEST_REGISTRY")
    if given:
        return given
    if runner[0] != "docker" and shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    name = "localhost/cfcre-test"
    environment = {**os.environ, "REGISTRY": name, "VARIANT": "cpu"}
    environment.pop("TAG", None)
    subprocess.run([ROOT / "k8s/images/build.sh"], env=environment, check=True)
    return name


def version() -> str:
    from cfcre import __version__

    return __version__


class Image:
    def __init__(self, runner: list[str], name: str, *options: str) -> None:
        self.command = [*runner, "run", *HARDENED, *options]
        self.runner, self.name = runner, name

    def run(self, *arguments: str, entrypoint: str = "") -> subprocess.CompletedProcess[str]:
        start = [f"--entrypoint={entrypoint}"] if entrypoint else []
        return subprocess.run(
            [*self.command, *start, self.name, *arguments],
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def shell(self, script: str) -> str:
        done = self.run("-c", script, entrypoint="sh")
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def product(runner: list[str], registry: str) -> Image:
    # An anonymous volume, as an emptyDir: it takes the image folder's owner.
    home = "--volume=/var/lib/cfcre"
    return Image(runner, f"{registry}/cfcre-python:{version()}", home)


@pytest.fixture(scope="module")
def server(runner: list[str], registry: str) -> Image:
    return Image(runner, f"{registry}/cfcre-mlflow:{version()}")


@pytest.mark.parametrize("image", ["product", "server"])
class TestBoth:
    def test_it_is_nobody_who_matters(self, image: str, request: pytest.FixtureRequest) -> None:
        it: Image = request.getfixturevalue(image)
        assert it.shell("id -u; id -g").split() == ["10001", "10001"]
        assert "CapEff:\t0000000000000000" in it.shell("cat /proc/self/status")
        for path in ("/probe", "/opt/probe", "/usr/bin/probe", "/etc/probe"):
            assert "Read-only file system" in it.shell(f"echo x >> {path}"), path
        assert "written" in it.shell("touch /tmp/probe && echo written")

    def test_without_a_read_only_root_it_can_not_write_either(
        self, image: str, request: pytest.FixtureRequest
    ) -> None:
        it: Image = request.getfixturevalue(image)
        writable = Image(it.runner, it.name)
        writable.command = [part for part in writable.command if part != "--read-only"]
        found = writable.shell("find / -xdev -writable ! -type l 2>/dev/null | sort").split()
        allowed = ("/tmp", "/var/tmp", "/var/lib/cfcre", "/run/lock", "/dev", "/proc", "/sys")
        assert [path for path in found if not path.startswith(allowed)] == []

    def test_what_it_must_not_hold(self, image: str, request: pytest.FixtureRequest) -> None:
        it: Image = request.getfixturevalue(image)
        tools = "gcc cc g++ clang make ld as pip pip3 git curl wget"
        found = it.shell(f"for t in {tools}; do command -v $t; done; echo end").split()
        # python:*-slim brings the pip of its own Python; the application's environment has none.
        assert [path for path in found if path.startswith("/opt/")] == []
        assert not [path for path in found if path.endswith(("gcc", "cc", "clang", "make"))]
        assert it.shell("find / -xdev -type f -perm /6000 2>/dev/null") == ""
        assert it.shell("find / -xdev -name '.git' -o -name 'pip.conf' -size +0 2>/dev/null") == ""


class TestProduct:
    def test_the_command(self, product: Image) -> None:
        assert version() in product.run("--version").stdout
        assert "Usage: cfcre" in product.run().stdout

    def test_what_kubeflow_starts(self, product: Image) -> None:
        script = (
            "python3 -c 'import cfcre, cfcre_components, cfcre_pipelines.continual_learning' && "
            "python3 -m kfp.dsl.executor_main --help | head -n 1"
        )
        assert product.shell(script).startswith("usage:")

    def test_the_main_job(self, product: Image) -> None:
        done = product.run("demo")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "version 3 is the champion" in done.stdout
        assert "born in (score" in done.stdout


class TestServer:
    def test_it_refuses_to_start_without_a_password(self, server: Image) -> None:
        values = {k: v for k, v in SERVER.items() if k != "MLFLOW_AUTH_ADMIN_PASSWORD"}
        done = Image(
            server.runner, server.name, *(f"--env={k}={v}" for k, v in values.items())
        ).run()
        assert done.returncode == 2
        assert "MLFLOW_AUTH_ADMIN_PASSWORD is empty" in done.stderr

    def test_it_starts_and_demands_a_login(self, server: Image) -> None:
        client = """
import base64, time, urllib.error, urllib.request
def ask(path, login=None):
    request = urllib.request.Request("http://127.0.0.1:5000" + path)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
for _ in range(600):
    if ask("/health") == 200:
        break
    time.sleep(1)
search = "/api/2.0/mlflow/experiments/search?max_results=1"
print("answers", ask("/health"), ask(search), ask(search, "operator:for tests alone"))
"""
        it = Image(server.runner, server.name, *(f"--env={k}={v}" for k, v in SERVER.items()))
        shown = it.run(
            "-c",
            '/opt/mlflow/entrypoint.sh serve >/tmp/log 2>&1 & python3 -c "$0"; cat /tmp/log',
            client,
            entrypoint="sh",
        )
        assert "answers 200 401 200" in shown.stdout, shown.stdout + shown.stderr
