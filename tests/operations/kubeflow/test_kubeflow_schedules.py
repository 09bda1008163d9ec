"""Recurring runs by name, through the real client, over a server that fails in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubeflow_server import Fault, KubeflowServer

from cfcre.cli.main import main
from cfcre.config import Settings
from cfcre.errors import ConfigurationError, KubeflowUnavailable
from cfcre.operations.kubeflow.client import KubeflowClient
from cfcre.operations.kubeflow.schedules import (
    Schedule,
    check_cron,
    remove_schedule,
    set_schedule,
    show_schedule,
)

pytestmark = pytest.mark.server

CRON = "0 */10 * * * *"


@pytest.fixture
def client(settings: Settings) -> KubeflowClient:
    return KubeflowClient(settings.kubeflow)


@pytest.fixture
def place(client: KubeflowClient, package: dict[str, Any]) -> Any:
    def do(cron: str = CRON, stream: str = "news", **more: Any) -> tuple[Schedule, str]:
        options = {"name": "nightly", "stream": stream, "cron": cron, "settings": "{}"}
        return set_schedule(client, package, **{**options, **more})

    return do


def test_it_runs_one_at_a_time_and_does_not_catch_up(server: KubeflowServer, place: Any) -> None:
    made, change = place()
    assert change == "created"
    (job,) = server.recurringruns.values()
    assert (job.display_name, job.service_account) == ("nightly", "cfcre-pipeline")
    assert (job.max_concurrency, job.no_catchup, job.mode) == ("1", True, "ENABLE")
    assert job.trigger.cron_schedule.cron == CRON
    assert job.runtime_config.parameters == {"stream": "news", "batch": "", "settings": "{}"}
    assert made == Schedule(
        "nightly", job.recurring_run_id, "news", CRON, True, 1, False, made.created_at
    )


def test_the_same_again_changes_nothing(server: KubeflowServer, place: Any) -> None:
    first, _ = place()
    again, change = place()
    assert (change, again.recurring_run_id) == ("unchanged", first.recurring_run_id)
    assert server.count("POST", "recurringruns") == 1
    assert server.count("DELETE", "recurringruns") == 0


@pytest.mark.parametrize(
    "changed",
    [{"cron": "0 0 3 * * *"}, {"stream": "other"}, {"settings": '{"seed": 1}'}, {"enabled": False}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_change_replaces_it(server: KubeflowServer, place: Any, changed: dict[str, Any]) -> None:
    first, _ = place()
    second, change = place(**changed)
    assert change == "updated"
    assert list(server.recurringruns) == [second.recurring_run_id] != [first.recurring_run_id]


def test_another_pipeline_replaces_it(
    server: KubeflowServer, client: KubeflowClient, place: Any, package: dict[str, Any]
) -> None:
    place()
    other = json.loads(json.dumps(package).replace("cfcre-python:0.1.0", "cfcre-python:0.2.0"))
    _, change = set_schedule(client, other, name="nightly", stream="news", cron=CRON, settings="{}")
    assert change == "updated"
    assert len(server.recurringruns) == 1


def test_what_somebody_switched_off_is_switched_on(server: KubeflowServer, place: Any) -> None:
    place()
    (job,) = server.recurringruns.values()
    job.mode = "DISABLE"
    assert place()[1] == "updated"
    (job,) = server.recurringruns.values()
    assert job.mode == "ENABLE"


def test_a_lost_answer_makes_no_second_one(server: KubeflowServer, place: Any) -> None:
    server.faults = [Fault("POST", "recurringruns", 0, done=True)]
    made, _ = place()
    assert list(server.recurringruns) == [made.recurring_run_id]


def test_500_then_success(server: KubeflowServer, place: Any) -> None:
    server.faults = [
        Fault("POST", "recurringruns", 500),
        Fault("GET", "recurringruns", 503),
    ]
    place()
    assert len(server.recurringruns) == 1


def test_a_change_that_broke_off_is_finished_by_the_same_command(
    server: KubeflowServer, place: Any
) -> None:
    place()
    server.faults = [Fault("DELETE", "recurringruns", 500) for _ in range(9)]
    with pytest.raises(KubeflowUnavailable):
        place(cron="0 0 3 * * *")
    assert len(server.recurringruns) == 2, "the new one is there before the old one goes"
    server.faults.clear()
    made, change = place(cron="0 0 3 * * *")
    assert change == "unchanged"
    assert list(server.recurringruns) == [made.recurring_run_id]


def test_somebody_elses_is_left_alone(
    server: KubeflowServer, client: KubeflowClient, place: Any
) -> None:
    place()
    (job,) = server.recurringruns.values()
    job.description = "made by hand"
    with pytest.raises(ConfigurationError, match="did not make"):
        place(cron="0 0 3 * * *")
    with pytest.raises(ConfigurationError, match="did not make"):
        remove_schedule(client, "nightly")
    assert list(server.recurringruns.values()) == [job]


def test_names_are_compared_exactly(
    server: KubeflowServer, client: KubeflowClient, place: Any
) -> None:
    place(name="nightly-2")
    place(name="NIGHTLY")
    assert show_schedule(client, "nightly") == []
    place()
    assert remove_schedule(client, "nightly") == 1
    assert sorted(j.display_name for j in server.recurringruns.values()) == ["NIGHTLY", "nightly-2"]


def test_removing_twice(server: KubeflowServer, client: KubeflowClient, place: Any) -> None:
    place()
    # The first deletion takes effect and its answer is lost: the second finds nothing.
    server.faults = [Fault("DELETE", "recurringruns", 500, done=True)]
    assert remove_schedule(client, "nightly") == 1
    assert server.recurringruns == {}
    assert remove_schedule(client, "nightly") == 0


def test_every_page_is_read(server: KubeflowServer, client: KubeflowClient, place: Any) -> None:
    for number in range(4):
        place(name=f"nightly{number}")
    place()
    server.page_limit = 2
    assert [s.name for s in show_schedule(client, "nightly")] == ["nightly"]


@pytest.mark.parametrize(
    "cron", [CRON, "0 0 0 1 1 *", "30 15 4-6 * JAN-MAR MON,WED", "0 0 9 ? * 2-6", "*/5 * * * * *"]
)
def test_cron_expressions_that_kubeflow_takes(cron: str) -> None:
    assert check_cron(cron) == cron
    assert check_cron(f"  {cron} ") == cron


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("*/10 * * * *", r"five|5 fields.*'0 \*/10"),
        ("", "0 fields"),
        ("0 60 * * * *", "minutes"),
        ("0 0 24 * * *", "hours"),
        ("0 0 0 0 * *", "day of month"),
        ("0 0 0 * 13 *", "month"),
        ("0 0 0 * * 7", "day of week"),
        ("? * * * * *", "seconds"),
        ("0 5-1 * * * *", "minutes"),
        ("0 */0 * * * *", "minutes"),
        ("0 0 0 * MON *", "month"),
        ("0 0 0 * * x;y", "day of week"),
        ("0 1,,2 * * * *", "minutes"),
    ],
)
def test_cron_expressions_that_it_would_refuse(cron: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        check_cron(cron)


class TestCommands:
    @pytest.fixture
    def run(
        self, server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> Any:
        def call(*words: str, code: int = 0) -> str:
            options = ["--home", str(tmp_path / "home"), "--set", f"kubeflow.host={server.url}"]
            options += ["--set", "kubeflow.retry_seconds=0"]
            assert main(["pipeline", *words, *options]) == code
            said = capsys.readouterr()
            return said.out if code == 0 else said.err

        return call

    def test_set_show_remove(self, server: KubeflowServer, run: Any) -> None:
        words = ["schedule", "set", "--stream", "news", "--cron", CRON]
        assert run(*words).startswith("created: recurring run cfcre-news: stream news")
        assert run(*words).startswith("unchanged:")
        assert run(*words, "--disabled").startswith("updated:")
        (found,) = json.loads(run("schedule", "show", "--stream", "news", "--json"))
        assert (found["cron"], found["enabled"], found["max_concurrency"]) == (CRON, False, 1)
        assert found["catch_up"] is False
        assert "disabled" in run("schedule", "show", "--name", "cfcre-news")
        assert "removed" in run("schedule", "remove", "--stream", "news")
        assert "was not there" in run("schedule", "remove", "--stream", "news")
        assert "no recurring run" in run("schedule", "show", "--stream", "news")

    def test_what_is_wrong_is_said(self, server: KubeflowServer, run: Any) -> None:
        five = ["schedule", "set", "--stream", "news", "--cron", "*/10 * * * *"]
        assert "six" in run(*five, code=2)
        assert "either" in run("schedule", "show", code=2)
        assert "letters" in run("schedule", "set", "--stream", "a/b", "--cron", CRON, code=2)
        assert server.requests == []
