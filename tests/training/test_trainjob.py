"""A step handed to a TrainJob, over HTTP with the real client: faults, retries, deletion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api import KubernetesApi
from training_cases import quick_settings, wait_for

from cfcre.config import Settings
from cfcre.data.files import write_json
from cfcre.errors import ConfigurationError, RetryableError, StateError
from cfcre.intake.store import ObjectStore, open_store
from cfcre.operations.training import transfer
from cfcre.operations.training.job import Job, write_job
from cfcre.operations.training.trainjob import Handover, run_train_job
from cfcre.operations.training.trainjob_client import TrainJobs
from cfcre.operations.training.trainjob_manifest import job_name

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

NAME = job_name("train_task", "news-001-ab12", 7)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with KubernetesApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.delenv("KFP_POD_NAME", raising=False)
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return quick_settings(
        tmp_path / "home",
        tmp_path / "no-encoder-needed",
        **{"pipeline.training": "trainjob", "trainjob.poll_seconds": 0.01},
    )


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return open_store(settings)


@pytest.fixture
def handover(tmp_path: Path, settings: Settings) -> Handover:
    folder = tmp_path / "job"
    folder.mkdir()
    write_job(folder, "train_task", settings, [], lineage={"batch": "b"})
    return Handover(NAME, folder, None, tmp_path / "out", {"cfcre.io/step": "train_task"})


def finish(store: ObjectStore, job: dict[str, Any], tmp: Path, text: str = "weights") -> None:
    """What the nodes do: read the input that the TrainJob names, and put a result."""
    arguments = dict(
        a.removeprefix("--").split("=", 1) for a in job["spec"]["trainer"]["args"] if "=" in a
    )
    key, digest = arguments["store-key"], arguments["input-digest"]
    folder = tmp / "node"
    transfer.fetch_input(store, key, digest, folder)
    done = Job.read(folder)
    done.out.mkdir(exist_ok=True)
    (done.out / "state.json").write_text(text)
    write_json(folder / "facts.json", {"steps": 3})
    transfer.put_result(store, key, digest, done)


@pytest.fixture
def nodes(api: KubernetesApi, store: ObjectStore, tmp_path: Path) -> KubernetesApi:
    def work(job: dict[str, Any]) -> None:
        finish(store, job, tmp_path)
        api.condition(job["metadata"]["name"], "Complete")

    api.on_create = work
    return api


def launch(handover: Handover, settings: Settings, store: ObjectStore, **more: Any) -> Any:
    jobs = TrainJobs("cfcre", sleep=lambda seconds: None)
    return run_train_job(handover, settings, store, jobs, **more)


def test_the_result_comes_back_and_nothing_stays(
    nodes: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    assert launch(handover, settings, store) == {"steps": 3}
    assert (handover.out / "state.json").read_text() == "weights"
    assert nodes.jobs == {} and len(nodes.created) == 1
    assert store.list("jobs/") == []


@pytest.mark.parametrize(
    "faults",
    [
        [("POST", 500), ("POST", 503)],
        [("POST", "lost")],
        [("POST", "closed"), ("GET", "closed")],
        [("POST", 429), ("GET", 500), ("GET", "lost"), ("DELETE", 500)],
        [("DELETE", "lost")],
        [("POST", 401)],
    ],
    ids=str,
)
def test_faults_of_the_api_start_one_trainjob_and_lose_nothing(
    faults: list[Any],
    nodes: KubernetesApi,
    handover: Handover,
    settings: Settings,
    store: ObjectStore,
) -> None:
    nodes.faults = list(faults)
    assert launch(handover, settings, store) == {"steps": 3}
    assert nodes.faults == [] and len(nodes.created) == 1 and nodes.jobs == {}


def test_a_second_try_goes_on_with_the_running_one(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def die(seconds: float) -> None:
        raise Killed

    # As after SIGKILL: nobody cancels.
    dead = TrainJobs("cfcre")
    dead.delete = lambda name: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_train_job(handover, settings, store, dead, sleep=die)
    uid = api.jobs[NAME]["metadata"]["uid"]
    threading.Timer(
        0.2, lambda: (finish(store, api.created[0], tmp_path), api.condition(NAME, "Complete"))
    ).start()
    assert launch(handover, settings, store) == {"steps": 3}
    assert [job["metadata"]["uid"] for job in api.created] == [uid]


def test_a_result_that_is_there_is_taken_without_training(
    nodes: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    saved = {}
    remove = transfer.remove
    # The stage dies after the result came and before anything was removed.
    transfer.remove = lambda *a: saved.setdefault("called", a)  # type: ignore[assignment]
    try:
        launch(handover, settings, store)
    finally:
        transfer.remove = remove
    assert saved and launch(handover, settings, store) == {"steps": 3}
    assert len(nodes.created) == 1 and store.list("jobs/") == []


def test_a_failed_one_tells_why_and_is_replaced_by_the_next_try(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    def fail(job: dict[str, Any]) -> None:
        api.pods = [pod("x-node-0-0", terminated={"reason": "OOMKilled", "exitCode": 137})]
        api.condition(job["metadata"]["name"], "Failed", "JobsFailed", "jobset failed")

    api.on_create = fail
    with pytest.raises(
        RetryableError, match=r"JobsFailed jobset failed; pod x-node-0-0 .*OOMKilled"
    ):
        launch(handover, settings, store)
    assert NAME in api.jobs, "a failed TrainJob stays to be looked at"

    api.slow_deletions = 3
    api.on_create = lambda job: (finish(store, job, tmp_path), api.condition(NAME, "Complete"))
    assert launch(handover, settings, store) == {"steps": 3}
    assert len(api.created) == 2


def test_an_error_of_a_process_is_raised_as_its_own_class(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    def fail(job: dict[str, Any]) -> None:
        for record in (
            {"rank": 0, "kind": "RetryableError", "message": "gloo: closed", "lost": True},
            {"rank": 1, "kind": "StateError", "message": "the state is damaged", "lost": False},
        ):
            transfer.put_error(store, f"jobs/{NAME}", record)
        api.condition(NAME, "Failed")

    api.on_create = fail
    with pytest.raises(StateError, match="the state is damaged"):
        launch(handover, settings, store)


def test_of_another_input_it_is_replaced(
    nodes: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    nodes.jobs[NAME] = {"metadata": {"name": NAME, "annotations": {"cfcre.io/input-digest": "x"}}}
    assert launch(handover, settings, store) == {"steps": 3}
    assert len(nodes.created) == 1


def test_deleted_by_somebody_it_is_an_error_that_may_be_tried_again(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    api.on_create = lambda job: api.delete(NAME)
    with pytest.raises(RetryableError, match="was deleted"):
        launch(handover, settings, store)


def test_a_queue_without_room_ends_the_wait_and_frees_the_place(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    seconds = iter(range(0, 10**9, 1000))
    api.on_create = lambda job: api.condition(NAME, "Suspended", "Suspended", "no quota")
    with pytest.raises(RetryableError, match="suspended by queue cfcre-training: no quota"):
        launch(handover, settings, store, clock=lambda: float(next(seconds)))
    assert api.jobs == {}


def test_a_pod_that_cannot_start_ends_the_wait(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    api.pods = [pod("x", waiting={"reason": "ImagePullBackOff", "message": "no such\nimage"})]
    with pytest.raises(RetryableError, match="cannot start: pod x waits: ImagePullBackOff no such"):
        launch(handover, settings, store)
    assert api.jobs == {}


@pytest.mark.parametrize(
    ("code", "text"), [(403, "access.yaml"), (404, "Kubeflow Trainer"), (422, "fault 422")]
)
def test_what_the_api_refuses_is_the_configurations_fault(
    code: int,
    text: str,
    api: KubernetesApi,
    handover: Handover,
    settings: Settings,
    store: ObjectStore,
) -> None:
    api.faults = [("POST", code)]
    with pytest.raises(ConfigurationError, match=text):
        launch(handover, settings, store)


def test_an_expired_token_is_read_again_once_then_reported(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    api.write_kubeconfig(tmp_path / "kubeconfig", token="expired")
    jobs = TrainJobs("cfcre", sleep=lambda seconds: None)
    with pytest.raises(ConfigurationError, match="401") as caught:
        run_train_job(handover, settings, store, jobs)
    assert "expired" not in str(caught.value)
    api.write_kubeconfig(tmp_path / "kubeconfig")
    assert jobs.get("none") is None


def test_an_api_that_never_answers_is_retryable(
    api: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore
) -> None:
    api.faults = [("GET", "closed")] * 50
    with pytest.raises(RetryableError, match="did not answer"):
        launch(handover, settings, store)


def test_a_result_that_was_changed_is_refused(
    nodes: KubernetesApi, handover: Handover, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    def work(job: dict[str, Any]) -> None:
        finish(store, job, tmp_path)
        store.write(f"jobs/{NAME}/result/state/state.json", b"weightS")
        nodes.condition(NAME, "Complete")

    nodes.on_create = work
    with pytest.raises(StateError, match="does not match its list"):
        launch(handover, settings, store)
    assert not handover.out.exists()


def test_nodes_refuse_an_input_they_were_not_started_for(
    handover: Handover, store: ObjectStore, tmp_path: Path
) -> None:
    digest = transfer.put_input(store, "jobs/x", handover.folder, None)
    with pytest.raises(StateError, match="not the one"):
        transfer.fetch_input(store, "jobs/x", "0" * 64, tmp_path / "a")
    store.write("jobs/x/input/job.json", b"{}" + b" " * 10_000)
    with pytest.raises(StateError, match="larger than"):
        transfer.fetch_input(store, "jobs/x", digest, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a//b", "a\\b"])
def test_a_list_cannot_name_a_file_outside(name: str, store: ObjectStore, tmp_path: Path) -> None:
    import hashlib
    import json

    text = json.dumps({"files": {name: {"sha256": "0", "size": 1}}}).encode()
    store.write("jobs/x/input/files.json", text)
    with pytest.raises(StateError, match="cannot be used"):
        transfer.fetch_input(store, "jobs/x", hashlib.sha256(text).hexdigest(), tmp_path / "a")


STAGE = """
import json, sys
from pathlib import Path
from cfcre.config import load_settings
from cfcre.intake.store import open_store
from cfcre.operations.training.trainjob import Handover, run_train_job
from cfcre.operations.training.trainjob_client import TrainJobs
home, folder, name = sys.argv[1:]
settings = load_settings(base=json.loads((Path(folder) / "job.json").read_text())["settings"],
                         home=home)
run_train_job(Handover(name, Path(folder), None, Path(folder) / "out", {}), settings,
              open_store(settings), TrainJobs("cfcre"))
"""


def test_a_stage_that_is_terminated_deletes_its_trainjob(
    api: KubernetesApi, handover: Handover, settings: Settings
) -> None:
    arguments = [str(settings.home), str(handover.folder), NAME]
    stage = subprocess.Popen([sys.executable, "-c", STAGE, *arguments], env=dict(os.environ))
    assert wait_for(lambda: api.calls("GET") > 3, 60)
    assert NAME in api.jobs
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(timeout=30) == 128 + signal.SIGTERM
    assert api.jobs == {} and api.calls("DELETE") == 1


def pod(name: str, **state: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "status": {
            "containerStatuses": [
                {
                    "name": "node",
                    "image": "i",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": state,
                }
            ]
        },
    }
