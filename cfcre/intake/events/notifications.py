"""What a storage event says about the inbox: which streams somebody should look at, nothing more.

An event is a hint. It may come twice, late, out of order, or from somebody who made it up; so all
that is taken from it is the name of a stream, checked against the rule for names. No key of an
event is ever used to read, write or move anything: what lies in the inbox is found by listing it.

=========================  ==============================================================
shape                      where it comes from
=========================  ==============================================================
``Records``                S3, MinIO, Ceph and others; several records a message
``Event: s3:TestEvent``    S3, once, when a notification is configured
``detail``                 S3 through EventBridge (keys are not URL-encoded there)
``Type`` and ``Message``   S3 through SNS: the event is JSON text inside
``specversion``, ``data``  CloudEvents, structured
``notification``           the MinIO event source of Argo Events
``body``                   the SQS event source of Argo Events
``key``, ``event_type``    SeaweedFS
``stream``, ``streams``    people and programs that know the name of the stream
=========================  ==============================================================
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from cfcre.config import Settings
from cfcre.errors import DataError
from cfcre.intake.inbox import INBOX
from cfcre.intake.store import NAME

__all__ = ["InboxPlace", "Look", "Notification", "parse_notification"]

_MAX_DEPTH = 6
_CREATED = (
    "ObjectCreated",
    "ObjectRestore:Completed",
    "Object Created",
    "Object Restore Completed",
)
_SEAWEED_LOOKS = {"create", "update", "rename"}
_SEAWEED_OTHER = {"delete"}


@dataclass(frozen=True)
class InboxPlace:
    """Where the inbox lies, so that events about other objects can be told apart.

    Attributes:
        bucket: The store's bucket; None where the store is no bucket, then any is taken.
        prefix: What every key is put behind; empty, or ends with a slash.
    """

    bucket: str | None
    prefix: str

    @classmethod
    def of(cls, settings: Settings) -> InboxPlace:
        """The place of the configured store."""
        parts = urlsplit(settings.store_url)
        if parts.scheme != "s3":
            return cls(None, "")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, f"{prefix}/" if prefix else "")


@dataclass(frozen=True)
class Look:
    """The part of the inbox that is to be looked at; false where there is none.

    Attributes:
        streams: Valid names of streams.
        everything: Something lies in the inbox under no valid stream: look at all of it.
    """

    streams: frozenset[str] = frozenset()
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.streams) or self.everything

    def __or__(self, other: Look) -> Look:
        return Look(self.streams | other.streams, self.everything or other.everything)


@dataclass(frozen=True)
class Notification:
    """What one message said.

    Attributes:
        look: What is to be looked at.
        records: Records about new objects of the inbox.
        ignored: Records about something else: another place, a removed object.
        strange: Records that were not understood, beside others that were.
        test: Whether it was S3's test event.
    """

    look: Look = Look()
    records: int = 0
    ignored: int = 0
    strange: int = 0
    test: bool = False

    def __or__(self, other: Notification) -> Notification:
        return Notification(
            self.look | other.look,
            self.records + other.records,
            self.ignored + other.ignored,
            self.strange + other.strange,
            self.test or other.test,
        )


def parse_notification(payload: bytes | str, place: InboxPlace) -> Notification:
    """Read one message, whatever it was wrapped into.

    Args:
        payload: JSON; its size is bounded by whoever received it.
        place: Where the inbox lies.

    Raises:
        DataError: It is not JSON, or JSON of no known shape. The text of the message is not
            repeated: it is not ours.
    """
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise DataError("the message is not JSON") from None
    return _message(data, place, _MAX_DEPTH)


def _message(data: Any, place: InboxPlace, depth: int) -> Notification:
    if depth == 0:
        raise DataError(f"the message is wrapped more than {_MAX_DEPTH} times")
    if isinstance(data, list) and data:
        return _records(data, place)
    if not isinstance(data, dict):
        raise _unknown()
    if isinstance(data.get("Records"), list) and data["Records"]:
        return _records(data["Records"], place)
    if data.get("Event") == "s3:TestEvent":
        return Notification(test=True)
    if data.get("source") == "aws.s3" and "detail-type" in data:
        return _object(str(data["detail-type"]), data.get("detail"), place, encoded=False)
    if isinstance(data.get("Type"), str) and "TopicArn" in data:
        if data["Type"] != "Notification":
            # An address to confirm a subscription is never fetched: anybody can send one.
            return Notification(ignored=1)
        return _inner(data.get("Message"), place, depth)
    if "specversion" in data:
        return _cloud_event(data, place, depth)
    for wrapper in ("notification", "body"):
        if wrapper in data:
            return _inner(data[wrapper], place, depth)
    if isinstance(data.get("key"), str) and isinstance(data.get("event_type"), str):
        return _seaweed(data, place)
    if "stream" in data or "streams" in data:
        return _named(data)
    raise _unknown()


def _inner(data: Any, place: InboxPlace, depth: int) -> Notification:
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            raise DataError("what the message wraps is not JSON") from None
    return _message(data, place, depth - 1)


def _cloud_event(data: Mapping[str, Any], place: InboxPlace, depth: int) -> Notification:
    if "data_base64" in data:
        try:
            return _inner(
                base64.b64decode(str(data["data_base64"]), validate=True).decode("utf-8"),
                place,
                depth,
            )
        except (binascii.Error, ValueError):
            raise DataError("the data of the cloud event is not base64 of JSON") from None
    inside = data.get("data")
    if isinstance(inside, dict) and "s3" in inside:
        return _records([inside], place)
    return _inner(inside, place, depth)


def _records(records: list[Any], place: InboxPlace) -> Notification:
    total = Notification()
    for record in records:
        try:
            total |= _record(record, place)
        except DataError:
            total = replace(total, strange=total.strange + 1)
    if total.strange == len(records):
        raise _unknown()
    return total


def _record(record: Any, place: InboxPlace) -> Notification:
    if not isinstance(record, dict):
        raise _unknown()
    name = record.get("eventName", record.get("EventName"))
    if not isinstance(name, str):
        raise _unknown()
    return _object(name, record.get("s3"), place, encoded=True)


def _object(event: str, about: Any, place: InboxPlace, *, encoded: bool) -> Notification:
    bucket, item = (
        (about.get("bucket"), about.get("object")) if isinstance(about, dict) else (None, None)
    )
    name = bucket.get("name") if isinstance(bucket, dict) else None
    key = item.get("key") if isinstance(item, dict) else None
    if not isinstance(name, str) or not isinstance(key, str):
        raise _unknown()
    if not event.removeprefix("s3:").startswith(_CREATED):
        return Notification(ignored=1)
    # S3 and MinIO encode keys as forms do; servers that do not are understood too.
    keys = [unquote_plus(key), key] if encoded else [key]
    return _look_at(name, keys, place)


def _seaweed(data: Mapping[str, Any], place: InboxPlace) -> Notification:
    kind = data["event_type"]
    if kind in _SEAWEED_OTHER:
        return Notification(ignored=1)
    if kind not in _SEAWEED_LOOKS:
        raise _unknown()
    paths = [data["key"]]
    message = data.get("message")
    if isinstance(message, dict) and isinstance(message.get("new_parent_path"), str):
        entry = message.get("new_entry")
        name = entry.get("name") if isinstance(entry, dict) else None
        paths.insert(0, f"{message['new_parent_path']}/{name if isinstance(name, str) else ''}")
    total = Notification(ignored=1)
    for path in paths:
        bucket, _, key = path.removeprefix("/buckets/").partition("/")
        found = _look_at(bucket, [key], place)
        if found.look:
            total = found if total.ignored else replace(total, look=total.look | found.look)
    return total


def _look_at(bucket: str, keys: list[str], place: InboxPlace) -> Notification:
    start = f"{place.prefix}{INBOX}/"
    if place.bucket is None or bucket == place.bucket:
        for key in keys:
            if key.startswith(start):
                return Notification(_look_of(key[len(start) :]), records=1)
    return Notification(ignored=1)


def _look_of(inner: str) -> Look:
    stream, slash, _ = inner.partition("/")
    # An object under no valid name is rejected, with its reason, by a look at everything.
    return Look(frozenset({stream})) if slash and NAME.fullmatch(stream) else Look(everything=True)


def _named(data: Mapping[str, Any]) -> Notification:
    names = data["streams"] if "streams" in data else [data["stream"]]
    if not isinstance(names, list) or not 1 <= len(names) <= 1_000:
        raise _unknown()
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise DataError(
            "a stream's name has 1 to 128 letters, digits, '.', '_' and '-', the first a letter "
            "or digit"
        )
    return Notification(Look(frozenset(names)), records=len(names))


def _unknown() -> DataError:
    return DataError(
        "the message is no storage event of a known shape; send what S3, MinIO, SeaweedFS or Argo "
        'Events send, or {"stream": "NAME"}'
    )
