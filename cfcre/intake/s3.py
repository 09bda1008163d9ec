"""The object store over S3 and servers that speak its protocol.

Credentials come from boto3's own chain (environment, profile, instance role) and are never read,
kept or shown here. No conditional write and no notification is relied upon: not every server has
them, and the ledger is the only arbiter between processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from cfcre.config import StoreSettings
from cfcre.errors import ConfigurationError, NotFoundError, StoreUnavailable
from cfcre.intake.store import ObjectInfo, safe_key, too_large

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["S3Store"]

_MISSING = {"NoSuchKey", "NotFound", "404"}
_RETRYABLE = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}


class S3Store:
    """An object store in a bucket; see :class:`cfcre.intake.store.ObjectStore`.

    Args:
        client: A boto3 S3 client.
        bucket: Bucket name.
        prefix: What every key is put behind; empty or without slashes at its ends.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> S3Store:
        """Connect to ``s3://bucket/prefix``.

        Raises:
            ConfigurationError: The URL has no bucket, or endpoint, region or profile are wrong.
        """
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError(
                "the store URL must be s3://bucket or s3://bucket/prefix, without credentials; "
                "boto3 reads those from the environment or its profile"
            )
        if prefix:
            safe_key(prefix)
        config = Config(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            retries={"mode": "standard", "max_attempts": 3},
            request_checksum_calculation=settings.checksum_mode,
            response_checksum_validation=settings.checksum_mode,
            # Servers other than AWS are seldom reachable under bucket.host.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        )
        try:
            client = boto3.session.Session().client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"cannot set up S3: {_one_line(error)}") from error
        return cls(client, parts.netloc, prefix)

    def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects below ``prefix``; folder markers (keys that end with ``/``) are left out."""
        found = []
        with self._errors("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"][len(self._prefix) :]
                    if key and not key.endswith("/"):
                        etag = item.get("ETag", "").strip('"')
                        found.append(ObjectInfo(key, item["Size"], item["LastModified"], etag))
        return sorted(found)

    def read(self, key: str, *, limit: int) -> bytes:
        """The whole object, at most ``limit`` bytes."""
        with self._errors("read", key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            # Not "with body": that hands out the raw stream, which does not notice a short read.
            with closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                if size > limit:
                    raise too_large(key, size, limit)
                data = body.read()
        if len(data) != size:
            raise StoreUnavailable(f"the store sent {len(data)} of {size} bytes of {key!r}")
        return data

    def write(self, key: str, data: bytes) -> None:
        """One PUT: S3 shows the whole object or none."""
        with self._errors("write", key):
            self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=data)

    def exists(self, key: str) -> bool:
        """Whether there is an object with that key."""
        return self._size(key) is not None

    def move(self, source: str, target: str) -> None:
        """Copy on the server, check the copy, delete the source; any step may be repeated."""
        size, copied = self._size(source), self._size(target)
        if size is None:
            if copied is None:
                raise NotFoundError(f"no object {source!r} in the store")
            return
        origin = {"Bucket": self._bucket, "Key": self._key(source)}
        with self._errors("move", source):
            # copy() and not copy_object(): the latter ends at 5 GB.
            self._client.copy(
                {"Bucket": origin["Bucket"], "Key": origin["Key"]},
                self._bucket,
                self._key(target),
                Config=TransferConfig(use_threads=False),
            )
        if self._size(target) != size:
            raise StoreUnavailable(f"the copy of {source!r} is incomplete; the source was kept")
        self.delete(source)

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is gone."""
        try:
            with self._errors("delete", key):
                self._client.delete_object(Bucket=self._bucket, Key=self._key(key))
        except NotFoundError:
            return  # S3 answers 204 for a key that is gone; some servers answer 404

    def _size(self, key: str) -> int | None:
        try:
            with self._errors("look up", key):
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        except NotFoundError:
            return None
        return answer["ContentLength"]

    def _key(self, key: str) -> str:
        return self._prefix + safe_key(key)

    @contextmanager
    def _errors(self, action: str, key: str) -> Iterator[None]:
        """Turn what boto3 raises into this package's errors; messages carry no credentials."""
        where = f"{action} {key!r} in bucket {self._bucket!r}"
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchBucket":
                raise ConfigurationError(
                    f"there is no bucket {self._bucket!r}; create it or change store.url"
                ) from error
            if code in _MISSING:
                raise NotFoundError(f"no object {key!r} in the store") from error
            if code in _RETRYABLE or status >= 500 or status == 429:
                raise StoreUnavailable(f"cannot {where}: S3 answered {code}; try again") from error
            raise ConfigurationError(
                f"cannot {where}: S3 answered {code} (HTTP {status}); check credentials, "
                "permissions, store.region and store.endpoint_url"
            ) from error
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
            raise ConfigurationError(
                f"cannot {where}: no S3 credentials; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise StoreUnavailable(
                f"cannot {where}: the S3 endpoint did not answer ({type(error).__name__})"
            ) from error
        except BotoCoreError as error:
            raise ConfigurationError(f"cannot {where}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
