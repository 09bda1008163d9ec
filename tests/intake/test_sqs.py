"""The queue, against a server that speaks SQS and gets its events from its own S3."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from intake_servers import free_port, s3_environment

from cfcre.config import StoreSettings
from cfcre.errors import ConfigurationError, QueueUnavailable
from cfcre.intake.events.notifications import InboxPlace, parse_notification
from cfcre.intake.events.sqs import SqsQueue

pytestmark = pytest.mark.server

SETTINGS = StoreSettings(region="us-east-1", connect_timeout_seconds=2)


@pytest.fixture
def sqs(moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    s3_environment(monkeypatch, tmp_path)
    return boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")


@pytest.fixture
def urls(sqs: Any) -> tuple[str, str]:
    """A queue and its dead-letter queue."""
    name = uuid.uuid4().hex[:12]
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "3"}
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})
    return url["QueueUrl"], dead


def left(sqs: Any, url: str) -> tuple[int, int]:
    """Messages that show, and that are hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def receive(queue: SqsQueue, visibility: int = 30) -> list[Any]:
    return queue.receive(most=50, wait_seconds=0, visibility_seconds=visibility)


def test_messages_stay_until_they_are_deleted(sqs: Any, urls: tuple[str, str]) -> None:
    queue = SqsQueue.open(urls[0], SETTINGS)
    assert queue.max_receives() == 3
    for number in range(25):
        sqs.send_message(QueueUrl=urls[0], MessageBody=f"body {number}")
    messages: list[Any] = []
    while found := receive(queue):
        assert len(found) <= 10
        messages += found
    assert {m.body for m in messages} == {f"body {number}" for number in range(25)}
    assert {m.deliveries for m in messages} == {1}
    assert left(sqs, urls[0]) == (0, 25)
    assert queue.hide(messages[:12], 0) == 0
    assert left(sqs, urls[0]) == (12, 13)
    assert queue.delete(messages[12:]) == 0
    again = [m for _ in range(2) for m in receive(queue)]
    assert {m.id for m in again} == {m.id for m in messages[:12]}
    assert {m.deliveries for m in again} == {2}
    assert queue.delete(again) == 0
    assert left(sqs, urls[0]) == (0, 0)
    assert queue.delete(messages[:1]) in (0, 1)  # deleted already: no error


def test_hidden_longer_it_does_not_come_back(sqs: Any, urls: tuple[str, str]) -> None:
    queue = SqsQueue.open(urls[0], SETTINGS)
    sqs.send_message(QueueUrl=urls[0], MessageBody="x")
    (message,) = receive(queue, visibility=2)
    queue.hide([message], 30)
    time.sleep(2.1)
    assert receive(queue) == []


def test_what_is_not_deleted_ends_in_the_dead_letter_queue(sqs: Any, urls: tuple[str, str]) -> None:
    queue = SqsQueue.open(urls[0], SETTINGS)
    sqs.send_message(QueueUrl=urls[0], MessageBody="junk")
    for delivery in (1, 2, 3):
        (message,) = receive(queue)
        assert message.deliveries == delivery
        queue.hide([message], 0)
    assert receive(queue) == []
    assert left(sqs, urls[0]) == (0, 0)
    (dead,) = sqs.receive_message(QueueUrl=urls[1])["Messages"]
    assert dead["Body"] == "junk"


def test_events_of_a_bucket_arrive(sqs: Any, urls: tuple[str, str], moto_endpoint: str) -> None:
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3 = boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1")
    s3.create_bucket(Bucket=bucket)
    arn = sqs.get_queue_attributes(QueueUrl=urls[0], AttributeNames=["QueueArn"])["Attributes"]
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"Id": "inbox", "QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    names = ["inbox/a/one two+three.jsonl", "inbox/b/ü.jsonl", "processed/a/x"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"{}")
    place = InboxPlace(bucket, "")
    said = [parse_notification(m.body, place) for m in receive(SqsQueue.open(urls[0], SETTINGS))]
    assert sum(n.test for n in said) <= 1
    looks = [n.look.streams for n in said if not n.test]
    assert sorted(map(sorted, looks)) == [[], ["a"], ["b"]]


def test_a_queue_without_a_dead_letter_queue_is_refused(sqs: Any) -> None:
    url = sqs.create_queue(QueueName=f"bare-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    with pytest.raises(ConfigurationError, match="RedrivePolicy"):
        SqsQueue.open(url, SETTINGS).max_receives()


def test_a_missing_queue(sqs: Any, moto_endpoint: str) -> None:
    queue = SqsQueue.open(f"{moto_endpoint}/123456789012/none", SETTINGS)
    with pytest.raises(ConfigurationError, match="there is no queue"):
        queue.max_receives()
    with pytest.raises(ConfigurationError, match="there is no queue"):
        receive(queue)


def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_environment(monkeypatch, tmp_path)
    queue = SqsQueue.open(f"http://127.0.0.1:{free_port()}/1/q", SETTINGS)
    with pytest.raises(QueueUnavailable, match="did not answer"):
        receive(queue)


@pytest.mark.parametrize(
    "url", ["queue", "sqs://host/q", "http:///1/q", "https://user:secret@host/1/q"]
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SqsQueue.open(url, SETTINGS)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a1-b2.sqs.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("queue.example.org", "us-east-1"),
    ],
)
def test_endpoint_and_region_come_from_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, region: str
) -> None:
    s3_environment(monkeypatch, tmp_path)
    queue = SqsQueue.open(f"https://{host}/1/q", StoreSettings())
    meta = queue._client.meta
    assert (meta.region_name, meta.endpoint_url) == (region, f"https://{host}")
