"""One suite over every back end: a folder, moto, and rclone's S3 server."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from intake_servers import SECRET, create_bucket, free_port, s3_environment

from cfcre.config import StoreSettings, load_settings
from cfcre.errors import (
    BatchRejected,
    ConfigurationError,
    DataError,
    NotFoundError,
    StoreUnavailable,
)
from cfcre.intake.folder import FolderStore
from cfcre.intake.s3 import S3Store
from cfcre.intake.store import ObjectStore, open_store, safe_key

BAD_KEYS = [
    "", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\0b", "a\nb", "a\x85b",
    "..", ".", "\ud800", "x" * 1025,
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
def test_unsafe_keys_are_refused(key: str) -> None:
    with pytest.raises(DataError):
        safe_key(key)


@pytest.mark.parametrize(
    "key", ["a", "a b/c.json", "..a/b..", "数据/é.jsonl", ".hidden", "x" * 1024]
)
def test_safe_keys_are_returned_unchanged(key: str) -> None:
    assert safe_key(key) == key


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/tmp/outside", "a\0"])
def test_no_operation_takes_an_unsafe_key(store: ObjectStore, key: str) -> None:
    store.write("a", b"1")
    for call in (
        lambda: store.read(key, limit=10),
        lambda: store.write(key, b"x"),
        lambda: store.exists(key),
        lambda: store.move(key, "b"),
        lambda: store.move("a", key),
        lambda: store.delete(key),
    ):
        with pytest.raises(DataError):
            call()
    assert store.read("a", limit=10) == b"1"


def test_write_read_replace(store: ObjectStore) -> None:
    content = bytes(range(256)) * 700
    store.write("a/b.bin", content)
    assert store.read("a/b.bin", limit=len(content)) == content
    store.write("a/b.bin", b"")
    assert store.read("a/b.bin", limit=0) == b""
    assert store.exists("a/b.bin")
    assert not store.exists("a")
    assert not store.exists("a/b")


def test_read_limit_is_exact(store: ObjectStore) -> None:
    store.write("k", b"12345")
    assert store.read("k", limit=5) == b"12345"
    with pytest.raises(BatchRejected) as caught:
        store.read("k", limit=4)
    assert caught.value.reason == "object_too_large"


def test_missing_object(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError):
        store.read("nothing/here", limit=10)
    assert not store.exists("nothing/here")
    assert store.list("nothing/") == []


def test_list_is_sorted_and_relative_to_the_prefix(make_store: object) -> None:
    outer, inner = make_store(""), make_store("team/one")  # type: ignore[operator]
    names = ["inbox/s/b.jsonl", "inbox/s/a/manifest.json", "inbox/s2/c", "other", "inbox/s/é 1"]
    for name in names:
        inner.write(name, name.encode())
    outer.write("team/one-more/x", b"not ours")
    assert [i.key for i in inner.list("")] == sorted(names)
    assert [i.key for i in inner.list("inbox/s/")] == sorted(n for n in names if "/s/" in n)
    # A prefix is a prefix of the key, not a folder.
    assert [i.key for i in inner.list("inbox/s")] == sorted(n for n in names if n[:7] == "inbox/s")
    info = {i.key: i for i in inner.list("")}["inbox/s/é 1"]
    assert info.size == len("inbox/s/é 1".encode())
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=2)


def test_list_gives_all_pages(store: ObjectStore) -> None:
    keys = [f"many/{i:04d}" for i in range(1005)]  # S3 pages hold 1,000
    for key in keys:
        store.write(key, b"")
    assert [i.key for i in store.list("many/")] == keys


def test_etag_changes_with_content(store: ObjectStore) -> None:
    store.write("k", b"one")
    first = store.list("k")[0]
    store.write("k", b"two")
    second = store.list("k")[0]
    assert (first.etag, first.modified) != (second.etag, second.modified)


def test_move_is_idempotent(store: ObjectStore) -> None:
    store.write("inbox/s/b/f", b"data")
    store.move("inbox/s/b/f", "processed/s/h/f")
    assert store.read("processed/s/h/f", limit=10) == b"data"
    assert not store.exists("inbox/s/b/f")
    store.move("inbox/s/b/f", "processed/s/h/f")
    assert store.read("processed/s/h/f", limit=10) == b"data"
    with pytest.raises(NotFoundError):
        store.move("inbox/s/b/none", "processed/s/h/none")


def test_move_after_a_crash_between_copy_and_delete(store: ObjectStore) -> None:
    store.write("a", b"data")
    store.write("b", b"data")
    store.move("a", "b")
    assert [i.key for i in store.list("")] == ["b"]


def test_delete_is_idempotent(store: ObjectStore) -> None:
    store.write("k", b"1")
    store.delete("k")
    store.delete("k")
    assert store.list("") == []


# --- folder only


def test_links_that_leave_the_root_are_not_followed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.write("inbox/s/a", b"1")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store/inbox/s/link").symlink_to(secret)
    (tmp_path / "store/inbox/out").symlink_to(tmp_path / "elsewhere")
    for key in ("inbox/s/link", "inbox/out/x"):
        with pytest.raises(DataError):
            store.read(key, limit=100)
    with pytest.raises(DataError):
        store.write("inbox/out/x", b"1")
    with pytest.raises(DataError):
        store.move("inbox/s/a", "inbox/out/a")
    store.write("inbox/s/link", b"mine")  # replaces the link, not what it names
    assert secret.read_bytes() == b"secret"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_links_inside_the_root_work(folder: FolderStore) -> None:
    folder.write("data/a", b"1")
    (folder.root / "data/b").symlink_to(folder.root / "data/a")
    assert folder.read("data/b", limit=10) == b"1"


def test_unfinished_writes_are_not_listed(folder: FolderStore) -> None:
    folder.write("inbox/s/a", b"1")
    (folder.root / "inbox/s/.a.0123.partial").write_bytes(b"half")
    assert [i.key for i in folder.list("")] == ["inbox/s/a"]


def test_moving_tidies_the_batch_folder_but_keeps_the_stream(folder: FolderStore) -> None:
    folder.write("inbox/s/b/f", b"1")
    folder.move("inbox/s/b/f", "processed/s/h/f")
    assert not (folder.root / "inbox/s/b").exists()
    assert (folder.root / "inbox/s").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_a_store_fault(folder: FolderStore) -> None:
    folder.write("a", b"1")
    (folder.root / "a").chmod(0)
    with pytest.raises(StoreUnavailable):
        folder.read("a", limit=10)


def test_os_fault_is_retryable_and_names_no_path(
    folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left") as caught:
        folder.write("a", b"1")
    assert caught.value.exit_code == 75
    assert str(folder.root) not in str(caught.value)
    assert folder.list("") == []


# --- S3 only


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///x", "s3://key:secret@bucket/x", "s3://b/a/../c", "ftp://host/x", "s3://b?x=1"],
)
def test_bad_store_urls(url: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, DataError)) as caught:
        open_store(load_settings(home=tmp_path, overrides={"store.url": url}, environ={}))
    assert "secret" not in str(caught.value)


def test_default_and_plain_path_stores(tmp_path: Path) -> None:
    default = open_store(load_settings(home=tmp_path / "h", environ={}))
    default.write("a", b"1")
    assert (tmp_path / "h/store/a").read_bytes() == b"1"
    plain = open_store(
        load_settings(home=tmp_path, overrides={"store.url": str(tmp_path / "p q")}, environ={})
    )
    plain.write("a", b"2")
    assert (tmp_path / "p q/a").read_bytes() == b"2"


def _s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str, bucket: str) -> S3Store:
    s3_environment(monkeypatch, tmp_path)
    settings = StoreSettings(
        endpoint_url=endpoint, region="us-east-1", connect_timeout_seconds=1, read_timeout_seconds=1
    )
    return S3Store.open(f"s3://{bucket}", settings)


def test_endpoint_that_does_not_answer_is_retryable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = _s3(monkeypatch, tmp_path, f"http://127.0.0.1:{free_port()}", "b")
    with caplog.at_level(logging.INFO), pytest.raises(StoreUnavailable) as caught:
        store.list("")
    assert SECRET not in str(caught.value) + caplog.text


@pytest.mark.server
def test_missing_bucket_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moto_endpoint: str
) -> None:
    store = _s3(monkeypatch, tmp_path, moto_endpoint, "no-such-bucket")
    for call in (lambda: store.list(""), lambda: store.write("k", b"")):
        with pytest.raises(ConfigurationError, match="no-such-bucket"):
            call()


@pytest.mark.server
def test_wrong_credentials_are_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rclone_endpoint: str
) -> None:
    s3_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-one")
    settings = StoreSettings(endpoint_url=rclone_endpoint, region="us-east-1")
    with pytest.raises(ConfigurationError, match="credentials") as caught:
        S3Store.open("s3://b", settings).list("")
    assert "wrong-one" not in str(caught.value)


def test_no_credentials_are_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3_environment(monkeypatch, tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = StoreSettings(endpoint_url="http://127.0.0.1:9", region="us-east-1")
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        S3Store.open("s3://b", settings).list("")


@pytest.mark.server
@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_errors_are_retryable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moto_endpoint: str, status: int
) -> None:
    store = _s3(monkeypatch, tmp_path, moto_endpoint, "b")

    def broken(**_: object) -> None:
        answer = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise boto3.client("s3", region_name="us-east-1").exceptions.ClientError(
            answer, "PutObject"
        )

    monkeypatch.setattr(store._client, "put_object", broken)
    with pytest.raises(StoreUnavailable):
        store.write("k", b"")


@pytest.mark.server
def test_folder_markers_are_not_objects(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moto_endpoint: str
) -> None:
    store = _s3(monkeypatch, tmp_path, moto_endpoint, "markers")
    create_bucket(moto_endpoint, "markers")
    store._client.put_object(Bucket="markers", Key="inbox/s/", Body=b"")
    store.write("inbox/s/a", b"1")
    assert [i.key for i in store.list("")] == ["inbox/s/a"]
