"""Watchers as processes: who acts, what a kill leaves, and what a standby does."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from quick_world import batch

pytestmark = [pytest.mark.server]

ELECT = ("--interval", "0.5", "--leader-election", "--set", "trigger.leader_lease_seconds=3")
Home = Any  # the fixtures' classes, see conftest.py
WaitFor = Any


def leaders(home: Home) -> list[Any]:
    alive = [w for w in home.watchers if w.process.poll() is None]
    return [w for w in alive if w.metric("cfcre_leader") == 1.0]


@pytest.mark.kill
def test_a_standby_takes_over_from_a_leader_that_was_killed(home: Home, wait_for: WaitFor) -> None:
    home.start(*ELECT, seconds=2), home.start(*ELECT, seconds=2)
    # Both are ready: a standby can take webhooks.
    wait_for(lambda: [w.get("/readyz")[0] for w in home.watchers] == [200, 200])
    wait_for(lambda: len(leaders(home)) == 1)
    (leader,) = leaders(home)
    (standby,) = (w for w in home.watchers if w is not leader)
    for number in range(3):
        home.drop("s", number)
    wait_for(lambda: home.runs())  # the leader is in the middle of a run
    first = home.runs()[0]
    assert first.split()[-1] == str(leader.process.pid)
    leader.process.send_signal(signal.SIGKILL)
    leader.process.wait()

    wait_for(lambda: set(home.states("s").values()) == {"held"})
    runs = home.runs()
    ends = [line for line in runs if line.startswith("end")]
    assert [line.split()[2] for line in ends] == ["1", "2", "3"]  # each task once, in order
    assert {line.split()[3] for line in runs[1:]} == {str(standby.process.pid)}
    assert leaders(home) == [standby]
    attempts = {t["attempt"] for t in home.ledger.status("s")["streams"][0]["tasks"]}
    assert attempts == {1, 2}  # the run that was cut off was taken up again


@pytest.mark.kill
def test_a_leader_that_was_paused_too_long_stands_by(home: Home, wait_for: WaitFor) -> None:
    leader = home.start(*ELECT)
    wait_for(lambda: leader.metric("cfcre_leader") == 1.0)
    other = home.start("--interval", "3600", *ELECT[2:])
    wait_for(lambda: other.metric("cfcre_leader") == 0.0)
    leader.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: other.metric("cfcre_last_reconcile_timestamp_seconds"))
    home.drop("s", 1)  # the other one will not look at it by itself for an hour
    leader.process.send_signal(signal.SIGCONT)  # this one would, and must not
    wait_for(lambda: "stands by" in leader.said())
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        assert leader.metric("cfcre_leader") == 0.0
        assert leader.get("/healthz")[0] == 200
    assert home.runs() == []
    other.post({"stream": "s"})
    wait_for(lambda: home.states("s") == {"1.jsonl": "held"})
    assert {line.split()[3] for line in home.runs()} == {str(other.process.pid)}


def test_sigterm_releases_the_lease_and_is_no_failure(home: Home, wait_for: WaitFor) -> None:
    long = ("--interval", "0.5", "--leader-election", "--set", "trigger.leader_lease_seconds=600")
    first = home.start(*long, seconds=60)
    wait_for(lambda: first.metric("cfcre_leader") == 1.0)
    # Had the lease to run out, the second one would wait for ten minutes.
    second = home.start(*ELECT)
    wait_for(lambda: second.metric("cfcre_leader") == 0.0)
    home.drop("s", 1)
    wait_for(lambda: home.runs())
    first.process.terminate()  # in the middle of a run
    assert first.process.wait(timeout=30) == 0
    assert "told to end" in first.said() and "Traceback" not in first.said()
    wait_for(lambda: home.states("s") == {"1.jsonl": "held"})
    assert home.runs()[-1].split()[3] == str(second.process.pid)


def test_a_webhook_at_a_standby_is_not_lost(home: Home, wait_for: WaitFor) -> None:
    # The leader would not look by itself for an hour.
    slow = ("--interval", "3600", "--leader-election")
    one, two = home.start(*slow), home.start(*slow)
    wait_for(lambda: len(leaders(home)) == 1)
    leader = leaders(home)[0]
    standby = two if leader is one else one
    wait_for(lambda: leader.metric("cfcre_last_reconcile_timestamp_seconds"))
    wait_for(lambda: standby.metric("cfcre_leader") == 0.0)
    home.drop("s", 1)
    status, answer = standby.post({"stream": "s"})
    assert (status, answer["outcome"], answer["new"]) == (200, "recorded", 1)
    # It is safe in the ledger; only who leads starts it.
    assert home.states("s") == {"1.jsonl": "seen"} and home.runs() == []
    home.drop("t", 2)
    assert leader.post({"stream": "t"})[1]["new"] == 1
    wait_for(lambda: home.states("s") == {"1.jsonl": "held"})
    wait_for(lambda: home.states("t") == {"2.jsonl": "held"})
    assert {line.split()[3] for line in home.runs()} == {str(leader.process.pid)}


def test_a_long_run_keeps_nothing_waiting(home: Home, wait_for: WaitFor) -> None:
    """While a run blocks the loop: events are recorded, health is green, the lease is kept."""
    home.drop("s", 1)
    watcher = home.start(
        "--interval", "3600", "--leader-election",
        "--set", "trigger.leader_lease_seconds=1.5",
        # A run of 6 s is then "long" by every measure.
        "--set", "trigger.launch_seconds=0.5", "--set", "trigger.stalled_after_seconds=0.5",
        seconds=4,
    )  # fmt: skip
    wait_for(lambda: home.runs())
    home.drop("s", 2), home.drop("t", 3)
    status, answer = watcher.post({"streams": ["s", "t"]})
    assert (status, answer["new"]) == (200, 2)
    while len(home.runs()) == 1:
        assert watcher.get("/healthz")[0] == 200
        assert watcher.metric("cfcre_leader") == 1.0
    assert home.runs()[1].startswith("end s 1")
    # Both were recorded while the first one ran, and are started without another event.
    wait_for(lambda: "start s 2" in str(home.runs()) and "start t 1" in str(home.runs()))


def test_a_plain_interval_needs_no_leases_nor_ports(home: Home, wait_for: WaitFor) -> None:
    home.drop("s", 1)
    watcher = home.start("--interval", "0.5", "--no-webhook")
    wait_for(lambda: home.states("s") == {"1.jsonl": "held"})
    assert watcher.metric("cfcre_leader") == 1.0
    watcher.process.send_signal(signal.SIGINT)
    assert watcher.process.wait(timeout=30) == 130


def test_a_queue_wakes_the_watcher(home: Home, aws: Any, wait_for: WaitFor) -> None:
    """An object in the bucket, its event in the queue, a task learned; the interval is an hour."""
    where = ("--store", f"s3://{aws.bucket}/p", "--endpoint-url", aws.endpoint)
    where += ("--set", "store.region=us-east-1", "--set", "trigger.sqs_wait_seconds=1")
    watcher = home.start(
        "--interval", "3600", "--leader-election", "--sqs-queue-url", aws.queue, *where,
        "--no-webhook",
    )  # fmt: skip
    wait_for(lambda: watcher.metric("cfcre_last_reconcile_timestamp_seconds"))
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="junk")
    aws.s3.put_object(Bucket=aws.bucket, Key="p/inbox/s/1.jsonl", Body=batch(1))
    wait_for(lambda: home.states("s") == {"1.jsonl": "held"})
    wait_for(lambda: aws.count(aws.queue) == (0, 0))
    wait_for(lambda: aws.count(aws.dead) == (1, 0))
    events = "cfcre_trigger_events_total"
    assert watcher.metric(f'{events}{{outcome="recorded",source="sqs"}}') >= 1.0
    assert watcher.metric(f'{events}{{outcome="not_understood",source="sqs"}}') == 3.0


def test_what_can_not_work_is_said_at_once(home: Home, aws: Any) -> None:
    bare = aws.sqs.create_queue(QueueName=f"{aws.bucket}-bare")["QueueUrl"]
    watchers = [
        (home.start("--interval", "1", "--sqs-queue-url", bare), 2, "RedrivePolicy"),
        (home.start("--once"), 2, "--health-port and --webhook-port: only together with"),
        (home.start("--interval", "1", "--health-port", "99999"), 2, "99999"),
    ]
    for watcher, code, said in watchers:
        assert watcher.process.wait(timeout=60) == code
        assert said in watcher.said() and "Traceback" not in watcher.said()


def test_a_queue_in_the_settings_does_not_disturb_a_scheduled_look(
    home: Home, wait_for: WaitFor
) -> None:
    """The CronJob has the Deployment's configuration file."""
    (home.path / "config.yaml").write_text("trigger: {sqs_queue_url: 'http://127.0.0.1:9/1/q'}\n")
    home.drop("s", 1)
    watcher = home.start("--once", "--no-webhook", "--no-health")
    assert watcher.process.wait(timeout=60) == 0
    assert home.states("s") == {"1.jsonl": "held"}
