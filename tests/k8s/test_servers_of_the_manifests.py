"""What the manifests start, started here: the tracking server with its users; the S3 of dev."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from k8s_bundle import Bundle
from k8s_processes import (
    ENTRYPOINT,
    HOST,
    SECRETS,
    TrackingServer,
    ask,
    environment,
    free_port,
    pod_spec,
    words,
)

pytestmark = pytest.mark.server
ADMIN = (
    SECRETS["cfcre-mlflow-server/admin-username"],
    SECRETS["cfcre-mlflow-server/admin-password"],
)
CLIENT = (SECRETS["cfcre-mlflow-client/username"], SECRETS["cfcre-mlflow-client/password"])


def needs_the_image_s_programs() -> None:
    pytest.importorskip("flask_wtf", reason="MLflow's extra auth is not installed")
    if not ENTRYPOINT.is_file():
        pytest.skip("the entry point of the tracking server's image is not in this checkout")


@pytest.fixture(scope="module")
def tracking(
    bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingServer]:
    needs_the_image_s_programs()
    server = TrackingServer(bundles["production"], tmp_path_factory.mktemp("tracking"))
    server.migrate()
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
class TestTrackingServer:
    runs = "/api/2.0/mlflow/experiments/search?max_results=1"

    def test_nobody_gets_in_without_a_login(self, tracking: TrackingServer) -> None:
        assert ask(tracking.url + self.runs, HOST) == 401
        assert ask(tracking.url + self.runs, HOST, ("admin", "password1234")) == 401
        assert ask(tracking.url + self.runs, HOST, ADMIN) == 200

    def test_another_host_header_is_refused(self, tracking: TrackingServer) -> None:
        assert ask(tracking.url + self.runs, "evil.example") == 403
        assert ask(tracking.url + "/health", "10.1.2.3:5000") == 200

    def test_the_user_database_is_the_one_of_the_secret(self, tracking: TrackingServer) -> None:
        assert (tracking.folder / "users x.db").is_file()

    def test_the_client_is_made_once_and_follows_its_secret(self, tracking: TrackingServer) -> None:
        made = tracking.ensure_user()
        assert (made.returncode, "was made" in made.stdout) == (0, True), made.stderr
        again = tracking.ensure_user()
        assert (again.returncode, "is there" in again.stdout) == (0, True), again.stderr
        rotated = tracking.ensure_user(CLIENT_PASSWORD="another-password-now")
        assert (rotated.returncode, "new password" in rotated.stdout) == (0, True), rotated.stderr
        assert ask(tracking.url + self.runs, HOST, ("cfcre", "another-password-now")) == 200
        back = tracking.ensure_user()
        assert "new password" in back.stdout, back.stderr
        for done in (made, again, rotated, back):
            for secret in (*SECRETS.values(), "another-password-now"):
                if secret not in {"cfcre", "admin"}:
                    assert secret not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("changed", "code", "text"),
        [
            ({"CLIENT_USERNAME": "new", "ADMIN_PASSWORD": "not-the-password"}, 2, "401"),
            ({"CLIENT_USERNAME": "admin"}, 2, "administrator"),
            ({"CLIENT_PASSWORD": ""}, 2, "CLIENT_PASSWORD"),
            ({"CLIENT_USERNAME": "short", "CLIENT_PASSWORD": "x"}, 2, "400"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, tracking: TrackingServer, changed: dict[str, str], code: int, text: str
    ) -> None:
        done = tracking.ensure_user(**changed)
        assert done.returncode == code, done.stdout + done.stderr
        assert text in done.stderr and len(done.stderr.splitlines()) == 1

    def test_a_server_that_is_away_can_be_tried_again(self, tracking: TrackingServer) -> None:
        spec = pod_spec(tracking.bundle, "CronJob", "cfcre-mlflow-client-user")
        away = f"http://127.0.0.1:{free_port()}"
        done = tracking.run(spec["containers"][0], MLFLOW_TRACKING_URI=away)
        assert done.returncode == 75

    def test_the_client_works_and_is_no_administrator(
        self, tracking: TrackingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import mlflow

        tracking.ensure_user()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", CLIENT[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CLIENT[1])
        client = mlflow.MlflowClient(tracking.url)
        experiment = client.create_experiment("cfcre")
        # The artifact goes through the server: the client holds no key of the store.
        assert client.get_experiment(experiment).artifact_location.startswith("mlflow-artifacts:")
        run = client.create_run(experiment)
        (tmp_path / "prototypes.json").write_text("[1]")
        client.log_artifact(run.info.run_id, str(tmp_path / "prototypes.json"))
        assert list((tracking.folder / "artifacts").rglob("prototypes.json"))
        client.create_registered_model("cfcre")
        users = f"{tracking.url}/api/2.0/mlflow/users/get?username=admin"
        assert ask(users, HOST, CLIENT) == 403

    def test_nothing_is_written_beside_the_volumes(self, tracking: TrackingServer) -> None:
        assert list(tracking.working.iterdir()) == []


@pytest.mark.slow
def test_a_server_without_its_secrets_does_not_start(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    needs_the_image_s_programs()
    server = TrackingServer(bundles["production"], tmp_path)
    server.secrets["cfcre-mlflow-server/admin-password"] = ""
    with pytest.raises(AssertionError, match="there is no default"):
        server.start()


class TestObjectStoreOfDev:
    """rclone with the very arguments and variables of the manifest."""

    @pytest.fixture
    def store(self, bundles: dict[str, Bundle], tmp_path: Path) -> Iterator[str]:
        beside = Path(sys.executable).parent / "rclone"
        rclone = str(beside) if beside.is_file() else shutil.which("rclone")
        if rclone is None:
            pytest.skip("no rclone on this machine")
        (container,) = pod_spec(bundles["dev"], "StatefulSet", "cfcre-dev-s3")["containers"]
        variables = environment(bundles["dev"], container, SECRETS)
        variables |= {"RCLONE_CONFIG": str(tmp_path / "none"), "RCLONE_CACHE_DIR": str(tmp_path)}
        # The volume is mounted as the folder of the bucket.
        (bucket,) = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "data")
        root = words(container, variables)[-1]
        assert Path(bucket).parent == Path(root)
        (tmp_path / "s3" / Path(bucket).name).mkdir(parents=True)
        port = free_port()
        changed = {root: str(tmp_path / "s3"), "--addr=:9000": f"--addr=127.0.0.1:{port}"}
        given = [rclone, *(changed.get(w, w) for w in words(container, variables)[1:])]
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(given, env=variables, stdout=log, stderr=log)
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)

    def test_it_answers_to_the_keys_of_the_secret_only(
        self, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import boto3
        import botocore.exceptions

        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

        def client(secret: str) -> Any:
            return boto3.session.Session().client(
                "s3",
                endpoint_url=store,
                region_name="us-east-1",
                aws_access_key_id=SECRETS["cfcre-s3/AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=secret,
            )

        mine = client(SECRETS["cfcre-s3/AWS_SECRET_ACCESS_KEY"])
        mine.put_object(Bucket="cfcre", Key="store/inbox/s/b.jsonl", Body=b"{}\n")
        assert (
            mine.get_object(Bucket="cfcre", Key="store/inbox/s/b.jsonl")["Body"].read() == b"{}\n"
        )
        with pytest.raises(botocore.exceptions.ClientError):
            client("another").list_objects_v2(Bucket="cfcre")
