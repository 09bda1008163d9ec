"""The queue that S3 sends its events to: Amazon SQS, or a server that speaks its protocol.

A received message stays in the queue, hidden for the visibility timeout; it is gone only when it is
deleted. What can not be understood is left there: after ``maxReceiveCount`` receipts the queue
itself moves it to its dead-letter queue, which loses nothing whenever this process dies. A queue
without one is therefore refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from cfcre.config import StoreSettings
from cfcre.errors import ConfigurationError, QueueUnavailable

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

__all__ = ["QueueMessage", "SqsQueue"]

_BATCH = 10  # SQS's own limit for one call
_LONGEST_POLL = 20
_PUBLIC_HOST = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_PRIVATE_HOST = re.compile(r"[a-z0-9-]+\.sqs\.(?P<region>[a-z0-9-]+)\.vpce\.amazonaws\.com(\.cn)?")
_ANY_REGION = "us-east-1"  # signatures name one, whether a server knows regions or not
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@dataclass(frozen=True)
class QueueMessage:
    """One delivery of a message.

    Attributes:
        id: The same for every delivery.
        receipt: Names this delivery; needed to delete it.
        body: Text of the message.
        deliveries: How often it was delivered, this time included.
    """

    id: str
    receipt: str
    body: str
    deliveries: int


class SqsQueue:
    """One queue.

    Args:
        client: A boto3 SQS client.
        url: URL of the queue.
    """

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> SqsQueue:
        """Set up a client; the queue is not asked yet.

        Args:
            url: URL of the queue. Where its host is not Amazon's it is the endpoint as well.
            settings: Region and timeouts; credentials come from boto3's chain.

        Raises:
            ConfigurationError: The URL is no URL of a queue, or region or profile are wrong.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise ConfigurationError(
                "the queue's URL must be http(s)://HOST/ACCOUNT/NAME, without credentials; "
                "boto3 reads those from the environment or its profile"
            )
        public = _PUBLIC_HOST.fullmatch(host)
        inside = _PRIVATE_HOST.fullmatch(host)
        config = Config(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=max(settings.read_timeout_seconds, _LONGEST_POLL + 10),
            retries={"mode": "standard", "max_attempts": 2},
        )
        try:
            session = boto3.session.Session()
            region = settings.region or session.region_name or _ANY_REGION
            if known := public or inside:
                region = known["region"]
            client = session.client(
                "sqs",
                endpoint_url=None if public else f"{parts.scheme}://{parts.netloc}",
                region_name=region,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"cannot set up SQS: {_one_line(error)}") from error
        return cls(client, url)

    def max_receives(self) -> int:
        """After how many receipts the queue moves a message to its dead-letter queue.

        Raises:
            ConfigurationError: The queue is missing, may not be asked, or has no dead-letter queue.
            QueueUnavailable: The queue did not answer.
        """
        with self._errors("read the attributes of"):
            answer = self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
            )
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        if not policy:
            raise ConfigurationError(
                f"the queue {self._url} has no dead-letter queue, so that a message nobody "
                "understands would come back for days; give it a RedrivePolicy with a "
                "deadLetterTargetArn and a maxReceiveCount of about 5"
            )
        return int(json.loads(policy)["maxReceiveCount"])

    def receive(
        self, *, most: int, wait_seconds: int, visibility_seconds: int
    ) -> list[QueueMessage]:
        """Receive messages; they stay in the queue, hidden.

        Args:
            most: At most so many; SQS gives at most ten.
            wait_seconds: Wait so long for the first one, at most 20.
            visibility_seconds: Hidden for so long.

        Raises:
            ConfigurationError: The queue is missing or may not be read.
            QueueUnavailable: The queue did not answer.
        """
        with self._errors("receive from"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, _BATCH),
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            QueueMessage(
                message.get("MessageId", ""),
                message["ReceiptHandle"],
                message.get("Body", ""),
                int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
            )
            for message in answer.get("Messages", [])
        ]

    def delete(self, messages: Sequence[QueueMessage]) -> int:
        """Delete messages; returns how many the queue would not delete (they come again).

        Raises:
            ConfigurationError: The queue is missing or may not be written.
            QueueUnavailable: The queue did not answer.
        """

        def call(part: Sequence[QueueMessage]) -> int:
            answer = self._client.delete_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(part)],
            )
            return len(answer.get("Failed", []))

        return self._in_parts("delete from", messages, call)

    def hide(self, messages: Sequence[QueueMessage], seconds: int) -> int:
        """Hide messages for so long from now; 0 shows them at once. Returns how many were not.

        Raises:
            ConfigurationError: The queue is missing or may not be written.
            QueueUnavailable: The queue did not answer.
        """

        def call(part: Sequence[QueueMessage]) -> int:
            answer = self._client.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": m.receipt, "VisibilityTimeout": seconds}
                    for n, m in enumerate(part)
                ],
            )
            return len(answer.get("Failed", []))

        return self._in_parts("change the visibility in", messages, call)

    def _in_parts(
        self,
        action: str,
        messages: Sequence[QueueMessage],
        call: Callable[[Sequence[QueueMessage]], int],
    ) -> int:
        failed = 0
        for start in range(0, len(messages), _BATCH):
            with self._errors(action):
                failed += call(messages[start : start + _BATCH])
        return failed

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        where = f"{action} the queue {self._url}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _MISSING:
                raise ConfigurationError(
                    f"there is no queue {self._url}; create it or change trigger.sqs_queue_url"
                ) from error
            if code in _REFUSED or status == 403:
                raise ConfigurationError(
                    f"cannot {where}: SQS answered {code}; check credentials and that they allow "
                    "sqs:GetQueueAttributes, ReceiveMessage, DeleteMessage, ChangeMessageVisibility"
                ) from error
            raise QueueUnavailable(f"cannot {where}: SQS answered {code} ({status})") from error
        except (ConnectionError, HTTPClientError) as error:
            raise QueueUnavailable(
                f"cannot {where}: it did not answer ({type(error).__name__})"
            ) from error
        except BotoCoreError as error:
            raise ConfigurationError(f"cannot {where}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
