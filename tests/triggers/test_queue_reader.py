"""Reading the queue: what is deleted when, and a storm of events over real servers."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote_plus

import pytest
from quick_world import batch

from cfcre.cli.home import reconcile_step, record_step
from cfcre.config import Settings, load_settings
from cfcre.errors import LeadershipLost, QueueUnavailable, StoreUnavailable
from cfcre.intake.events.notifications import InboxPlace, Look
from cfcre.intake.events.sqs import QueueMessage, SqsQueue
from cfcre.operations.ledger import Ledger
from cfcre.operations.triggers.queue import QueueReader
from cfcre.operations.triggers.recorder import Recorder
from cfcre.operations.watch import watch

PLACE = InboxPlace("b", "")
Launcher = Any  # the fixture's class, see quick_world.py


def put(key: str, bucket: str = "b") -> dict[str, Any]:
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}},
    }


def body(*keys: str, bucket: str = "b") -> str:
    return json.dumps({"Records": [put(key, bucket) for key in keys]})


class FakeQueue:
    """Remembers what was asked of it, in order."""

    def __init__(self, *bodies: str) -> None:
        self.bodies = list(bodies)
        self.calls: list[tuple[str, int, int | None]] = []
        self.deleted: list[str] = []
        self.away = 0
        self.away_after = False  # only when the messages have been given out

    def receive(self, *, most: int, wait_seconds: int, visibility_seconds: int) -> Any:
        if self.away and not (self.away_after and self.bodies):
            self.away -= 1
            raise QueueUnavailable("away")
        found, self.bodies = self.bodies[:10], self.bodies[10:]
        self.calls.append(("receive", len(found), wait_seconds))
        return [QueueMessage(text[:20], text, text, 1) for text in found]

    def delete(self, messages: Sequence[QueueMessage]) -> int:
        if messages:
            self.calls.append(("delete", len(messages), None))
        self.deleted += [message.body for message in messages]
        return 0

    def hide(self, messages: Sequence[QueueMessage], seconds: int) -> int:
        if messages:
            self.calls.append(("hide", len(messages), seconds))
        return 0


class Recording:
    """A record step that a test lets fail or wait."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.failures = 0
        self.seconds = 0.0
        self.queue: FakeQueue | None = None

    def __call__(self, look: Look) -> int:
        time.sleep(self.seconds)
        if self.queue is not None:
            self.queue.calls.append(("record", len(look.streams), None))
        self.looks.append(look)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return 1


MakeReader = Callable[..., QueueReader]


@pytest.fixture
def counted() -> Counter[str]:
    return Counter()


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def make_reader(recording: Recording, counted: Counter[str]) -> MakeReader:
    recorder = Recorder(recording)
    recorder.start()

    def make(queue: Any, *, check: Callable[[], None] = lambda: None, **changes: Any) -> Any:
        if isinstance(queue, FakeQueue):
            recording.queue = queue
        options = {"wait_seconds": 20, "visibility_seconds": 30, "in_hand": 500} | changes
        place = options.pop("place", PLACE)
        return QueueReader(
            queue,
            place,
            changes.pop("recorder", recorder),
            check=check,
            count=lambda outcome, count: counted.update({outcome: count} if count else {}),
            **{k: v for k, v in options.items() if k != "recorder"},
        )

    yield make
    recorder.stop()


def test_messages_are_recorded_together_and_deleted_after_that(
    make_reader: MakeReader, recording: Recording, counted: Counter[str]
) -> None:
    queue = FakeQueue(*[body(f"inbox/s{n % 2}/{n}") for n in range(25)])
    assert make_reader(queue).turn() == 25
    assert queue.calls == [
        ("receive", 10, 20),  # long polling for the first ones only
        ("receive", 10, 0),
        ("receive", 5, 0),
        ("receive", 0, 0),
        ("record", 2, None),
        ("delete", 25, None),
    ]
    assert recording.looks == [Look(frozenset({"s0", "s1"}))]
    assert counted == {"recorded": 25}


def test_no_more_is_taken_in_hand_than_allowed(make_reader: MakeReader) -> None:
    queue = FakeQueue(*[body(f"inbox/s/{n}") for n in range(40)])
    assert make_reader(queue, in_hand=20).turn() == 20
    assert len(queue.bodies) == 20


def test_what_is_not_understood_is_shown_again_and_never_deleted(
    make_reader: MakeReader, recording: Recording, counted: Counter[str]
) -> None:
    mixed = json.dumps({"Records": [put("inbox/m/1"), {"what": "ever"}]})
    test_event = json.dumps({"Event": "s3:TestEvent"})
    queue = FakeQueue("junk", mixed, test_event, body("elsewhere/x"), body("inbox/s/1"))
    make_reader(queue).turn()
    assert queue.deleted == [test_event, body("elsewhere/x"), body("inbox/s/1")]
    assert ("hide", 2, 0) in queue.calls
    # What could be read of the mixed one is looked at all the same.
    assert recording.looks == [Look(frozenset({"m", "s"}))]
    assert counted == {"not_understood": 2, "test": 1, "ignored": 1, "recorded": 1}


def test_while_the_store_is_away_messages_are_kept_hidden_not_received_again(
    make_reader: MakeReader, recording: Recording, counted: Counter[str]
) -> None:
    recording.failures = 2
    queue = FakeQueue(body("inbox/s/1"))
    make_reader(queue, visibility_seconds=6).turn()
    kinds = [kind for kind, _, _ in queue.calls]
    assert kinds.count("receive") == 2  # the message, and that there is no other
    assert kinds[-2:] == ["record", "delete"] and kinds.count("record") == 3
    assert ("hide", 1, 6) in queue.calls
    assert counted == {"error": 2, "recorded": 1}


def test_a_slow_look_renews_the_visibility(make_reader: MakeReader, recording: Recording) -> None:
    recording.seconds = 1.5
    queue = FakeQueue(body("inbox/s/1"))
    make_reader(queue, visibility_seconds=2).turn()
    hides = [call for call in queue.calls if call == ("hide", 1, 2)]
    assert len(hides) >= 2 and queue.deleted == [body("inbox/s/1")]


def test_who_lost_the_lease_deletes_nothing(make_reader: MakeReader) -> None:
    """It is lost while the look is under way."""
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) > 2:
            raise LeadershipLost("lost")

    queue = FakeQueue(body("inbox/s/1"))
    reader = make_reader(queue, check=check)
    with pytest.raises(LeadershipLost):
        reader.turn()
    assert queue.deleted == []
    assert queue.calls[-1] == ("hide", 1, 0)  # the new leader gets it at once


def test_a_standby_does_not_receive(make_reader: MakeReader) -> None:
    def check() -> None:
        raise LeadershipLost("stands by")

    queue = FakeQueue(body("inbox/s/1"))
    with pytest.raises(LeadershipLost):
        make_reader(queue, check=check).turn()
    assert queue.calls == []


def test_a_queue_that_is_away_is_asked_again(
    make_reader: MakeReader, counted: Counter[str], wait_for: Callable[..., None]
) -> None:
    queue = FakeQueue(body("inbox/s/1"))
    queue.away = 2
    reader = make_reader(queue)
    reader.start()
    wait_for(lambda: queue.deleted)
    reader.stop()
    assert counted["error"] == 2


def test_what_was_received_before_the_queue_went_away_is_recorded(
    make_reader: MakeReader, recording: Recording
) -> None:
    queue = FakeQueue(body("inbox/s/1"))
    queue.away, queue.away_after = 1, True
    assert make_reader(queue).turn() == 1
    assert len(recording.looks) == 1 and queue.deleted == [body("inbox/s/1")]


# --- over servers of S3 and SQS ---------------------------------------------------------------


@pytest.fixture
def aws_settings(settings: Settings, aws: Any) -> Settings:
    return load_settings(
        home=settings.home,
        overrides={
            "store.url": f"s3://{aws.bucket}/p",
            "store.endpoint_url": aws.endpoint,
            "store.region": "us-east-1",
        },
        environ={},
    )


def drain(reader: QueueReader, aws: Any, limit: int = 60) -> int:
    """Turns until nothing is left; returns the deliveries."""
    deliveries = 0
    for _ in range(limit):
        deliveries += reader.turn()
        if aws.count(aws.queue) == (0, 0):
            return deliveries
    pytest.fail(f"the queue is not empty: {aws.count(aws.queue)}")


def make_real(make_reader: MakeReader, aws: Any, settings: Settings, recorder: Recorder) -> Any:
    return make_reader(
        SqsQueue.open(aws.queue, settings.store),
        place=InboxPlace.of(settings),
        recorder=recorder,
        wait_seconds=0,
        visibility_seconds=300,
    )


@pytest.mark.server
@pytest.mark.slow
def test_a_storm_of_events(
    make_reader: MakeReader,
    counted: Counter[str],
    aws: Any,
    aws_settings: Settings,
    ledger: Ledger,
    launcher: Launcher,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Duplicates, disorder, several records a message, junk: every batch once, junk set aside."""
    order = random.Random(5)
    streams = ["people", "works", "firms"]
    keys = []
    for number in range(40):
        name = f"batch {number} + größe.jsonl" if number % 7 == 0 else f"{number}.jsonl"
        # A name with a space or an umlaut is no name of a batch: it is rejected, but never lost.
        key = f"p/inbox/{streams[number % 3]}/{name}"
        aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=batch(number))
        keys.append(key)
    test_and_puts = sum(aws.count(aws.queue))
    assert test_and_puts in (40, 41)  # what S3 itself sent; some servers send a test event too

    bodies: list[str] = []
    for key in keys:
        bodies += [body(key, bucket=aws.bucket)] * order.randint(2, 5)
    for _ in range(40):
        several = order.sample(keys, order.randint(2, 8))
        bodies.append(body(*several, bucket=aws.bucket))
    for key in order.sample(keys, 15):
        inner = body(key, bucket=aws.bucket)
        bodies.append(json.dumps({"Type": "Notification", "TopicArn": "t", "Message": inner}))
        bodies.append(
            json.dumps(
                {
                    "source": "aws.s3",
                    "detail-type": "Object Created",
                    "detail": {"bucket": {"name": aws.bucket}, "object": {"key": key}},
                }
            )
        )
    bodies += [body("p/inbox/people/never-was.jsonl", bucket=aws.bucket)] * 5
    bodies += [body("p/processed/people/x/1.jsonl", bucket=aws.bucket)] * 5
    bodies += [body("p/inbox/people/1.jsonl", bucket="somebody-elses")] * 5
    bodies += [json.dumps({"Event": "s3:TestEvent", "Bucket": aws.bucket})] * 2
    junk = [f"junk {n}" for n in range(10)] + ['{"Records": [{"ses": 1}]}', "[]", "[[[[", "null"]
    bodies += junk
    order.shuffle(bodies)
    for start in range(0, len(bodies), 10):
        aws.sqs.send_message_batch(
            QueueUrl=aws.queue,
            Entries=[
                {"Id": str(n), "MessageBody": text}
                for n, text in enumerate(bodies[start : start + 10])
            ],
        )
    fed = test_and_puts + len(bodies)

    recorder = Recorder(record_step(aws_settings, ledger))
    recorder.start()
    deliveries = drain(make_real(make_reader, aws, aws_settings, recorder), aws)
    recorder.stop()

    found = {s["name"]: s for s in ledger.status()["streams"]}
    recorded = [p["name"] for s in found.values() for p in s["pending"]]
    rejected = [t["batch_name"] for s in found.values() for t in s["tasks"]]
    assert len(recorded) == 34 and len(set(recorded)) == 34
    assert len(rejected) == 6  # the odd names
    assert sorted(aws.dead_bodies()) == sorted(junk)
    assert counted["test"] >= 2 and counted["ignored"] == 10
    assert counted["not_understood"] == 3 * len(junk)  # maxReceiveCount deliveries each
    assert counted["recorded"] == fed - counted["test"] - counted["ignored"] - len(junk)

    # All of it is learned, once each and in the order of the sequence, by the same reconcile().
    step = reconcile_step(aws_settings, ledger, launcher, None)
    watch(step, mode="until_idle", poll_seconds=0.01)
    assert len(launcher.started) == len(set(launcher.started)) == 34
    states = Counter(t["state"] for s in ledger.status()["streams"] for t in s["tasks"])
    assert states == {"held": 34, "rejected": 6}
    # Moving the objects made no event of the inbox, and nothing of it is left there.
    assert aws.count(aws.queue) == (0, 0)
    assert "Contents" not in aws.s3.list_objects_v2(Bucket=aws.bucket, Prefix="p/inbox/")
    with capsys.disabled():
        told = f"{fed} events of {len(keys)} objects fed, {counted['test']} of them test events, "
        told += f"{counted['ignored']} about other places, {len(junk)} junk; {deliveries} "
        told += f"deliveries; {len(launcher.started)} tasks started, 6 objects rejected, "
        print(f"\n{told}{len(junk)} messages in the dead-letter queue, 0 left in the queue")


@pytest.mark.server
def test_a_reader_that_dies_loses_nothing(
    make_reader: MakeReader, aws: Any, aws_settings: Settings, ledger: Ledger
) -> None:
    """It has received and recorded, and dies before it deletes: the message comes again."""
    aws.s3.put_object(Bucket=aws.bucket, Key="p/inbox/s/1.jsonl", Body=batch(1))
    queue = SqsQueue.open(aws.queue, aws_settings.store)
    record = record_step(aws_settings, ledger)
    while queue.receive(most=10, wait_seconds=0, visibility_seconds=2):
        record(Look(frozenset({"s"})))
    assert aws.count(aws.queue)[1] >= 1
    time.sleep(2.1)
    recorder = Recorder(record)
    recorder.start()
    drain(make_real(make_reader, aws, aws_settings, recorder), aws)
    recorder.stop()
    assert [p["name"] for p in ledger.status("s")["streams"][0]["pending"]] == ["1.jsonl"]
