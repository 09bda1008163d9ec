"""What is read out of storage events, in the shapes that servers and brokers send them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.config import load_settings
from cfcre.errors import DataError
from cfcre.intake.events.notifications import InboxPlace, Look, Notification, parse_notification

PLACE = InboxPlace("bucket", "some/prefix/")


def record(key: str, *, event: str = "ObjectCreated:Put", bucket: str = "bucket") -> dict[str, Any]:
    """One record as S3 documents it; the key is encoded by the caller."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": event,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "inbox",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD9"},
        },
    }


def s3(*keys: str, **about: str) -> dict[str, Any]:
    return {"Records": [record(quote_plus(key, safe="/"), **about) for key in keys]}


def read(message: Any, place: InboxPlace = PLACE) -> Notification:
    return parse_notification(json.dumps(message), place)


def streams(*names: str) -> Look:
    return Look(frozenset(names))


PUT = s3("some/prefix/inbox/people/first batch+ümläut.jsonl")

SHAPES = {
    "S3": PUT,
    "S3, slashes encoded too": {
        "Records": [record(quote_plus("some/prefix/inbox/people/a b+c.jsonl"))]
    },
    "a server that does not encode": {
        "Records": [record("some/prefix/inbox/people/100% +.jsonl", event="s3:ObjectCreated:Copy")]
    },
    "EventBridge": {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "bucket": {"name": "bucket"},
            "object": {"key": "some/prefix/inbox/people/a+b%20.jsonl"},
        },
    },
    "SNS": {
        "Type": "Notification",
        "MessageId": "1",
        "TopicArn": "arn:aws:sns:eu-central-1:1:t",
        "Message": json.dumps(PUT),
    },
    "SNS of SNS": {
        "Type": "Notification",
        "TopicArn": "arn",
        "Message": json.dumps(
            {"Type": "Notification", "TopicArn": "arn", "Message": json.dumps(PUT)}
        ),
    },
    "MinIO": {
        "EventName": "s3:ObjectCreated:CompleteMultipartUpload",
        "Key": "bucket/some/prefix/inbox/people/a.jsonl",
        "Records": [
            record(
                quote_plus("some/prefix/inbox/people/a.jsonl"),
                event="s3:ObjectCreated:CompleteMultipartUpload",
            )
            | {"eventSource": "minio:s3"}
        ],
    },
    "Argo Events from MinIO": {"notification": [record("some%2Fprefix%2Finbox%2Fpeople%2Fa")]},
    "Argo Events from SQS": {"messageId": "1", "messageAttributes": None, "body": PUT},
    "Argo Events from SQS, as text": {"messageId": "1", "body": json.dumps(PUT)},
    "CloudEvents": {
        "specversion": "1.0",
        "type": "com.amazonaws.s3.objectcreated",
        "source": "s3",
        "id": "1",
        "data": PUT,
    },
    "CloudEvents of one record": {"specversion": "1.0", "data": PUT["Records"][0]},
    "CloudEvents, base64": {
        "specversion": "1.0",
        "data_base64": base64.b64encode(json.dumps(PUT).encode()).decode(),
    },
    "SeaweedFS": {
        "key": "/buckets/bucket/some/prefix/inbox/people/a.jsonl",
        "event_type": "create",
        "message": {"new_entry": {"name": "a.jsonl"}, "new_parent_path": "", "delete_chunks": True},
    },
    "SeaweedFS, renamed into the inbox": {
        "key": "/buckets/bucket/some/prefix/uploads/a.jsonl",
        "event_type": "rename",
        "message": {
            "new_entry": {"name": "a.jsonl"},
            "new_parent_path": "/buckets/bucket/some/prefix/inbox/people",
        },
    },
    "by name": {"stream": "people"},
    "by names": {"streams": ["people"]},
}


@pytest.mark.parametrize("message", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_leads_to_the_stream(message: Any) -> None:
    said = read(message)
    assert (said.look, said.strange, said.test) == (streams("people"), 0, False)
    assert said.records == 1


NOTHING_TO_DO = {
    "another bucket": s3("some/prefix/inbox/people/a", bucket="other"),
    "another prefix": s3("inbox/people/a"),
    "a longer name of the inbox": s3("some/prefix/inbox2/people/a"),
    "a batch that was moved": s3("some/prefix/processed/people/hash/a.jsonl"),
    "an object that was removed": s3("some/prefix/inbox/people/a", event="ObjectRemoved:Delete"),
    "EventBridge, removed": {
        "source": "aws.s3",
        "detail-type": "Object Deleted",
        "detail": {"bucket": {"name": "bucket"}, "object": {"key": "some/prefix/inbox/p/a"}},
    },
    "SeaweedFS, removed": {"key": "/buckets/bucket/some/prefix/inbox/s/a", "event_type": "delete"},
    "SNS asks to confirm a subscription": {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "arn",
        "SubscribeURL": "http://169.254.169.254/latest/meta-data/",
        "Message": "You have chosen to subscribe",
    },
}


@pytest.mark.parametrize("message", NOTHING_TO_DO.values(), ids=NOTHING_TO_DO.keys())
def test_events_about_something_else_are_ignored(message: Any) -> None:
    assert read(message) == Notification(ignored=1)


def test_the_test_event() -> None:
    event = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-01T00:00:00.000Z",
        "Bucket": "bucket",
        "RequestId": "1",
        "HostId": "2",
    }
    assert read(event) == Notification(test=True)


def test_several_records_of_one_message() -> None:
    message = s3("some/prefix/inbox/a/1", "some/prefix/inbox/b/2", "elsewhere/x")
    message["Records"] += s3("some/prefix/inbox/a/3")["Records"]
    assert read(message) == Notification(streams("a", "b"), records=3, ignored=1)


def test_strange_records_do_not_hide_the_others() -> None:
    message = s3("some/prefix/inbox/a/1")
    message["Records"] += [7, {"eventName": "ObjectCreated:Put"}, {"s3": {}}]
    assert read(message) == Notification(streams("a"), records=1, strange=3)


@pytest.mark.parametrize(
    "inner",
    ["a.jsonl", "sp ace/a.jsonl", "../people/a", "/people/a", "ünicode/a", "-x/a", "\x00/a"],
)
def test_what_lies_under_no_valid_stream_asks_for_a_look_at_everything(inner: str) -> None:
    assert read(s3(f"some/prefix/inbox/{inner}")).look == Look(everything=True)


JUNK = {
    "nothing": b"",
    "no JSON": b"hello",
    "half": b'{"Records": [',
    "not UTF-8": b'{"stream": "\xff"}',
    "nested beyond reason": b"[" * 100_000,
    "a number with very many digits": b"1" * 10_000,
    "null": b"null",
    "a number": b"7",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "no records": b'{"Records": []}',
    "only strange records": b'{"Records": [1, 2]}',
    "records of another service": b'{"Records": [{"eventSource": "aws:ses", "ses": {}}]}',
    "a key that is a number": json.dumps(
        {"Records": [record("k") | {"s3": {"bucket": {"name": "bucket"}, "object": {"key": 7}}}]}
    ).encode(),
    "SNS of text": b'{"Type": "Notification", "TopicArn": "t", "Message": "hi"}',
    "SNS of nothing": b'{"Type": "Notification", "TopicArn": "t"}',
    "CloudEvents of nothing": b'{"specversion": "1.0"}',
    "CloudEvents of no base64": b'{"specversion": "1.0", "data_base64": "!"}',
    "CloudEvents of bytes": b'{"specversion": "1.0", "data_base64": "/w=="}',
    "SeaweedFS of an unknown kind": b'{"key": "/buckets/bucket/x", "event_type": "sing"}',
    "a stream that leads out": b'{"stream": "../x"}',
    "a stream that is a number": b'{"stream": 7}',
    "no streams": b'{"streams": []}',
    "streams that are a text": b'{"streams": "people"}',
    "too many streams": json.dumps({"streams": ["s"] * 1_001}).encode(),
    "wrapped too often": json.dumps(
        {"body": {"body": {"body": {"body": {"body": {"body": PUT}}}}}}
    ).encode(),
}


@pytest.mark.parametrize("payload", JUNK.values(), ids=JUNK.keys())
def test_junk_is_refused_and_not_repeated(payload: bytes) -> None:
    with pytest.raises(DataError) as refused:
        parse_notification(payload, PLACE)
    said = str(refused.value)
    assert len(said) < 200 and "../x" not in said and "hello" not in said


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "Records Event Type TopicArn Message source detail detail-type specversion data "
                "data_base64 notification body key event_type message new_parent_path new_entry "
                "stream streams eventName s3 bucket object name".split()
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(_values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        said = read(value)
    except DataError:
        return
    assert said.records + said.ignored + said.strange + said.test >= 1
    assert all(name.isascii() and "/" not in name and name for name in said.look.streams)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        parse_notification(payload, PLACE)
    except DataError:
        return


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_key_encoded_as_s3_does_is_decoded(name: str) -> None:
    """Whatever an object is called, its stream is found."""
    assert read(s3(f"some/prefix/inbox/people/{name}")).look == streams("people")


def test_the_place_of_a_store(tmp_path: Path) -> None:
    def place(url: str) -> InboxPlace:
        return InboxPlace.of(load_settings(home=tmp_path, overrides={"store.url": url}, environ={}))

    assert place("s3://bucket/some/prefix/") == PLACE
    assert place("s3://bucket") == InboxPlace("bucket", "")
    # A folder has no bucket, and events about it may name any.
    assert place(tmp_path.as_uri()) == InboxPlace(None, "")
    assert read(s3("inbox/people/a", bucket="any"), InboxPlace(None, "")).look == streams("people")
