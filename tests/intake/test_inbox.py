"""Discovery, submission and ingestion over a folder and over S3."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from intake_samples import good_rows, lines

from cfcre.config import Settings, load_settings
from cfcre.errors import BatchRejected, ConfigurationError, NotFoundError
from cfcre.intake.folder import FolderStore
from cfcre.intake.inbox import PendingBatch, discover
from cfcre.intake.ingest import ingest_batch
from cfcre.intake.manifest import parse_manifest
from cfcre.intake.rows import BATCH_REASONS
from cfcre.intake.store import ObjectStore
from cfcre.intake.submit import SubmitFile, parse_file, parse_limits, submit_batch

DATA = lines(good_rows("r", 12))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(path: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"path": path, "sha256": sha(data), "bytes": len(data), **more}


def put(
    store: ObjectStore, content: dict[str, bytes], *, place: str = "inbox/s/b", **manifest: Any
) -> None:
    for path, data in content.items():
        store.write(f"{place}/{path}", data)
    document = {"version": 1, "files": [entry(p, d) for p, d in content.items()], **manifest}
    store.write(f"{place}/manifest.json", json.dumps(document).encode())


def only(store: ObjectStore, settings: Settings) -> PendingBatch:
    (batch,) = discover(store, settings=settings)
    return batch


def rejection(store: ObjectStore, settings: Settings) -> str:
    """The reason, found at ingestion; where discovery sees it, both must say the same."""
    batch = only(store, settings)
    with pytest.raises(BatchRejected) as caught:
        ingest_batch(store, batch, settings=settings)
    if batch.problem is not None:
        assert batch.problem.reason == caught.value.reason
    assert caught.value.reason in BATCH_REASONS
    return caught.value.reason


# --- over every back end


def test_single_object(store: ObjectStore, settings: Settings) -> None:
    store.write("inbox/s/a.jsonl.gz", gzip.compress(DATA))
    batch = only(store, settings)
    assert (batch.stream, batch.name, batch.keys) == ("s", "a.jsonl.gz", ("inbox/s/a.jsonl.gz",))
    assert batch.batch_hash == sha(store.read("inbox/s/a.jsonl.gz", limit=10**6))
    assert (batch.problem, batch.manifest_key, batch.sequence) == (None, None, None)
    raw = ingest_batch(store, batch, settings=settings)
    assert [r.index for r in raw.rows] == list(range(12))
    assert raw.files[0].format == "jsonl"


def test_submit_then_discover_then_ingest(
    store: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/my file.jsonl").write_bytes(lines(good_rows("r", 12, split=None)))
    (tmp_path / "my file.jsonl").write_bytes(lines(good_rows("q", 12, split=None)) + b"junk\n")
    files = [
        SubmitFile(tmp_path / "one/my file.jsonl", "train"),
        SubmitFile(tmp_path / "my file.jsonl"),
    ]
    options: dict[str, Any] = {
        "stream": "s", "settings": settings, "sequence": 3, "limits": 5,
        "descriptions": {"r": "owns"},
    }  # fmt: skip
    result = submit_batch(store, files, **options)
    assert result.already is None
    assert list(result.rows.values()) == [12, 13]
    batch = only(store, settings)
    assert (batch.batch_hash, batch.name, batch.sequence) == (result.batch_hash, result.name, 3)
    assert batch.keys[0] == batch.manifest_key
    assert len(batch.keys) == 3
    raw = ingest_batch(store, batch, settings=settings)
    assert [r.relation for r in raw.rows] == ["r"] * 5 + ["q"] * 5 + [None]
    assert {r.example.split for r in raw.rows[:5] if r.example} == {"train"}
    assert raw.descriptions == {"r": "owns"}
    assert [(f.rows, f.taken) for f in raw.files] == [(12, 5), (13, 6)]
    # Again, and again after it was learned: nothing new appears.
    again = submit_batch(store, files, **options)
    assert (again.already, again.name, again.batch_hash) == (
        "inbox",
        result.name,
        result.batch_hash,
    )
    for key in batch.keys:
        store.move(key, f"processed/s/{batch.batch_hash}/{key.rpartition('/')[2]}")
    assert submit_batch(store, files, **options).already == "processed"
    assert discover(store, settings=settings) == []


# --- discovery


def test_what_is_not_a_batch_yet(folder: FolderStore, settings: Settings) -> None:
    for key in ("inbox/s/b/part.jsonl", "inbox/s/.hidden", "inbox/s/x.partial", "other/s/a.jsonl"):
        folder.write(key, DATA)
    assert discover(folder, settings=settings) == []
    assert discover(FolderStore(folder.root / "none"), settings=settings) == []


def test_one_problem_stops_no_other(folder: FolderStore, settings: Settings) -> None:
    folder.write("inbox/s/good.jsonl", DATA)
    folder.write("inbox/s/bad name.jsonl", DATA)
    folder.write("inbox/s p/x.jsonl", DATA)
    folder.write("inbox/loose.jsonl", DATA)
    folder.write("inbox/s/b/manifest.json", b"{")
    folder.write("inbox/s/b/extra", b"")
    put(folder, {"f.jsonl": DATA}, place="inbox/s/out", files=[entry("../good.jsonl", DATA)])
    (folder.root / "inbox/s/link.jsonl").symlink_to("/etc/hostname")
    (folder.root / "inbox/s/dangling.jsonl").symlink_to("nowhere")
    (folder.root / "inbox/s/tab\tname").write_bytes(DATA)
    (folder.root / "inbox/s").joinpath(
        b"latin\xe9.jsonl".decode("utf-8", "surrogateescape")
    ).touch()
    found = discover(folder, settings=settings)
    problems = {(b.stream, b.name): b.problem and b.problem.reason for b in found}
    assert problems.pop(("s", "good.jsonl")) is None
    assert problems.pop(("s", "b")) == "manifest_invalid"
    assert problems.pop(("s", "out")) == "manifest_key_outside"
    assert problems.pop(("s", "link.jsonl")) == "unreadable_file"
    assert "dangling.jsonl" not in {name for _, name in problems}  # gone is gone
    assert set(problems.values()) == {"invalid_name"}
    assert len(problems) == 5
    by_name = {b.name: b for b in found}
    assert by_name["b"].keys == ("inbox/s/b/manifest.json", "inbox/s/b/extra")
    assert len({b.batch_hash for b in found}) == len(found)
    # The same things are found again under the same hashes.
    again = discover(folder, settings=settings)
    assert [(b.name, b.batch_hash) for b in again] == [(b.name, b.batch_hash) for b in found]


def test_stream_filter_and_order(folder: FolderStore, settings: Settings) -> None:
    put(folder, {"f.jsonl": DATA}, place="inbox/s/late", submitted_at="2026-01-02T00:00:00+00:00")
    put(folder, {"g.jsonl": DATA * 2}, place="inbox/s/early", submitted_at="2026-01-01T23:00:00Z")
    put(folder, {"f.jsonl": DATA}, place="inbox/s2/other")
    assert [b.name for b in discover(folder, "s", settings=settings)] == ["early", "late"]
    assert [b.stream for b in discover(folder, settings=settings)] == ["s", "s", "s2"]


def test_hashes_are_cached_until_the_object_changes(
    folder: FolderStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, reads = tmp_path / "cache.json", []
    plain = FolderStore.read
    monkeypatch.setattr(
        FolderStore,
        "read",
        lambda self, key, *, limit: reads.append(key) or plain(self, key, limit=limit),
    )
    folder.write("inbox/s/a.jsonl", DATA)
    first = discover(folder, settings=settings, cache=cache)
    assert discover(folder, settings=settings, cache=cache) == first
    assert reads == ["inbox/s/a.jsonl"]
    folder.write("inbox/s/a.jsonl", DATA + DATA)
    assert discover(folder, settings=settings, cache=cache)[0].batch_hash == sha(DATA + DATA)
    for damage in ("", "[]", '{"inbox/s/a.jsonl": 5}', "\0"):
        cache.write_text(damage)
        assert discover(folder, settings=settings, cache=cache)[0].batch_hash == sha(DATA + DATA)


# --- the manifest


def test_hash_of_one_plain_file_is_that_of_its_bytes(
    folder: FolderStore, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "f.jsonl").write_bytes(DATA)
    result = submit_batch(folder, [SubmitFile(tmp_path / "f.jsonl")], stream="s", settings=settings)
    assert result.batch_hash == sha(DATA)


def test_everything_that_decides_rows_is_in_the_hash() -> None:
    a, b = entry("a", b"a"), entry("b", b"b")
    manifests: list[dict[str, Any]] = [
        {"files": [a]}, {"files": [b]}, {"files": [a, b]}, {"files": [b, a]},
        {"files": [{**a, "split": "train"}]}, {"files": [{**a, "split": "test"}]},
        {"files": [{**a, "format": "jsonl"}]}, {"files": [a], "relations": ["x"]},
        {"files": [a], "relations": ["x", "y"]}, {"files": [a], "max_per_relation": 3},
        {"files": [a], "max_per_relation": 4}, {"files": [a], "max_per_relation": {"train": 3}},
    ]  # fmt: skip

    def of(m: dict[str, Any]) -> str:
        return parse_manifest(json.dumps({"version": 1, **m}).encode()).batch_hash

    assert len({of(m) for m in manifests}) == len(manifests)
    same = [
        {"files": [a], "relations": ["y", "x"]},
        {"files": [{**a, "path": "c"}], "relations": ["x", "y"], "sequence": 4,
         "descriptions": {"x": "d"}, "stream": "s", "batch": "b"},
    ]  # fmt: skip
    assert {of(m) for m in same} == {of(manifests[8])}


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "..", "a//b", "a\\..\\x", "./x", "", "a\0", "x" * 2000],
)
def test_paths_that_leave_the_batch_folder(
    folder: FolderStore, settings: Settings, path: str
) -> None:
    put(folder, {}, files=[entry("f", b""), entry(path, DATA)])
    assert rejection(folder, settings) == "manifest_key_outside"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": "1"}, {"files": []}, {"files": None}, {"files": ...},
        {"files": [{"path": "f"}]}, {"files": [{**entry("f", b""), "sha256": "xyz"}]},
        {"files": [{**entry("f", b""), "rows": -1}]}, {"files": [{**entry("f", b""), "rows": "5"}]},
        {"files": [{**entry("f", b""), "split": "dev"}]},
        {"files": [{**entry("f", b""), "format": "xml"}]},
        {"files": [entry("f", b""), entry("f", b"")]}, {"files": [entry("manifest.json", b"")]},
        {"sequence": 0}, {"sequence": "1"}, {"sequence": True}, {"relations": []},
        {"relations": [""]}, {"max_per_relation": 0}, {"max_per_relation": {"dev": 1}},
        {"stream": "other"}, {"batch": "other"}, {"stream": "../s"}, {"unknown": 1},
        {"descriptions": {"r": 5}},
    ],
)  # fmt: skip
def test_bad_manifests(folder: FolderStore, settings: Settings, change: dict[str, Any]) -> None:
    document = {"version": 1, "files": [entry("f", b"")], **change}
    document = {k: v for k, v in document.items() if v is not ...}
    folder.write("inbox/s/b/manifest.json", json.dumps(document).encode())
    assert rejection(folder, settings) == "manifest_invalid"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_manifests_that_are_no_json_object(
    folder: FolderStore, settings: Settings, data: bytes
) -> None:
    folder.write("inbox/s/b/manifest.json", data)
    assert rejection(folder, settings) == "manifest_invalid"


# --- ingestion


def test_missing_file(folder: FolderStore, settings: Settings) -> None:
    put(folder, {"f.jsonl": DATA}, files=[entry("f.jsonl", DATA), entry("g.jsonl", DATA)])
    assert rejection(folder, settings) == "manifest_missing_file"


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"bytes": 5}])
def test_checksum_mismatch(folder: FolderStore, settings: Settings, change: dict[str, Any]) -> None:
    put(folder, {"f.jsonl": DATA}, files=[{**entry("f.jsonl", DATA), **change}])
    assert rejection(folder, settings) == "checksum_mismatch"


@pytest.mark.parametrize("key", ["inbox/s/a.jsonl", "inbox/s/b/manifest.json"])
def test_changed_after_it_was_recorded(folder: FolderStore, settings: Settings, key: str) -> None:
    put(folder, {"f.jsonl": DATA}) if "manifest" in key else folder.write(key, DATA)
    batch = only(folder, settings)
    if "manifest" in key:
        put(folder, {"f.jsonl": DATA}, max_per_relation=5)
    else:
        folder.write(key, DATA + DATA)
    with pytest.raises(BatchRejected) as caught:
        ingest_batch(folder, batch, settings=settings)
    assert caught.value.reason == "checksum_mismatch"


def test_row_count_mismatch_counts_all_rows_of_the_file(
    folder: FolderStore, settings: Settings
) -> None:
    files = [entry("f.jsonl", DATA, rows=12)]
    put(folder, {"f.jsonl": DATA}, files=files, max_per_relation=2)
    assert len(ingest_batch(folder, only(folder, settings), settings=settings).rows) == 2
    put(folder, {"f.jsonl": DATA}, files=[entry("f.jsonl", DATA, rows=11)])
    assert rejection(folder, settings) == "row_count_mismatch"


@pytest.mark.parametrize("end", [3, 20, -1])
def test_truncated_gzip(folder: FolderStore, settings: Settings, end: int) -> None:
    folder.write("inbox/s/a.jsonl.gz", gzip.compress(DATA)[:end])
    assert rejection(folder, settings) == "truncated_gzip"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"intake.max_object_bytes": 100}, "object_too_large"),
        ({"intake.max_decompressed_bytes": 500}, "decompressed_too_large"),
        ({"intake.max_rows": 11}, "too_many_rows"),
    ],
)
def test_bounds(folder: FolderStore, tmp_path: Path, override: dict[str, Any], reason: str) -> None:
    bounded = load_settings(home=tmp_path, overrides=override, environ={})
    folder.write("inbox/s/a.jsonl.gz", gzip.compress(DATA))
    assert rejection(folder, bounded) == reason


def test_rows_are_bounded_over_all_files(folder: FolderStore, tmp_path: Path) -> None:
    bounded = load_settings(home=tmp_path, overrides={"intake.max_rows": 23}, environ={})
    put(folder, {"f.jsonl": DATA, "g.jsonl": DATA})
    assert rejection(folder, bounded) == "too_many_rows"


def test_gzip_bomb(folder: FolderStore, settings: Settings) -> None:
    folder.write("inbox/s/a.jsonl.gz", gzip.compress(b"\n" * 20_000_000))
    assert rejection(folder, settings) == "decompression_ratio"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jsonl", b"", "empty_batch"),
        ("a.jsonl", b"\n\n", "empty_batch"),
        ("a.json", b"[]", "ambiguous_format"),
        ("a.bin", b"?", "unknown_format"),
        ("a.json", b"{", "unreadable_file"),
        ("a.parquet", b"?", "unreadable_file"),
    ],
)
def test_content_problems(
    folder: FolderStore, settings: Settings, name: str, data: bytes, reason: str
) -> None:
    folder.write(f"inbox/s/{name}", data)
    assert rejection(folder, settings) == reason


def test_filter_that_leaves_nothing(folder: FolderStore, settings: Settings) -> None:
    put(folder, {"f.jsonl": DATA}, relations=["other"])
    assert rejection(folder, settings) == "empty_batch"


def test_batch_that_is_gone(folder: FolderStore, settings: Settings) -> None:
    folder.write("inbox/s/a.jsonl", DATA)
    batch = only(folder, settings)
    folder.delete("inbox/s/a.jsonl")
    with pytest.raises((NotFoundError, BatchRejected)):
        ingest_batch(folder, batch, settings=settings)


# --- submission


def submit(folder: FolderStore, settings: Settings, path: Path, **options: Any) -> Any:
    return submit_batch(folder, [SubmitFile(path)], stream="s", settings=settings, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"stream": "../x"}, {"stream": ""}, {"stream": "a/b"}, {"format": "xml"},
        {"relations": ["r", "absent"]}, {"sequence": 0}, {"limits": 0}, {"limits": {"dev": 1}},
    ],
)  # fmt: skip
def test_wrong_arguments(
    folder: FolderStore, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "f.jsonl").write_bytes(DATA)
    arguments: dict[str, Any] = {"stream": "s", "settings": settings, **options}
    with pytest.raises(ConfigurationError):
        submit_batch(folder, [SubmitFile(tmp_path / "f.jsonl")], **arguments)
    with pytest.raises(ConfigurationError):
        submit_batch(folder, [], stream="s", settings=settings)
    assert folder.list("") == []


def test_unreadable_files_are_refused_before_anything_is_uploaded(
    folder: FolderStore, settings: Settings, tmp_path: Path
) -> None:
    for name, data in (("a.bin", b"?"), ("b.gz", gzip.compress(DATA)[:-4]), ("c.json", b"{")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BatchRejected):
            submit(folder, settings, tmp_path / name)
    with pytest.raises(ConfigurationError):
        submit(folder, settings, tmp_path / "absent.jsonl")
    assert folder.list("") == []


def test_sequence_conflict(folder: FolderStore, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_bytes(DATA)
    (tmp_path / "g.jsonl").write_bytes(DATA + DATA)
    submit(folder, settings, tmp_path / "f.jsonl", sequence=1)
    assert submit(folder, settings, tmp_path / "f.jsonl", sequence=1).already == "inbox"
    with pytest.raises(BatchRejected) as caught:
        submit(folder, settings, tmp_path / "g.jsonl", sequence=1)
    assert caught.value.reason == "sequence_conflict"
    assert submit(folder, settings, tmp_path / "g.jsonl", sequence=2).already is None


def test_submission_killed_before_the_manifest(
    folder: FolderStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.jsonl").write_bytes(DATA)
    whole, written = FolderStore.write, []

    def dying(self: FolderStore, key: str, data: bytes) -> None:
        if key.endswith("manifest.json"):
            raise KeyboardInterrupt
        written.append(key)
        whole(self, key, data)

    monkeypatch.setattr(FolderStore, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        submit(folder, settings, tmp_path / "f.jsonl")
    assert discover(folder, settings=settings) == []
    monkeypatch.setattr(FolderStore, "write", whole)
    result = submit(folder, settings, tmp_path / "f.jsonl")
    assert result.already is None
    assert only(folder, settings).keys == (f"inbox/s/{result.name}/manifest.json", written[0])


@pytest.mark.parametrize("name", ["manifest.json", "-x.json", ".json", "数据.jsonl", "a b@c.jsonl"])
def test_odd_file_names_get_usable_keys(
    folder: FolderStore, settings: Settings, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(DATA)
    submit(folder, settings, tmp_path / name, format="jsonl")
    batch = only(folder, settings)
    assert batch.problem is None
    assert len(ingest_batch(folder, batch, settings=settings).rows) == 12


def test_command_line_forms(tmp_path: Path) -> None:
    path = tmp_path / "f@x.jsonl"
    path.write_bytes(b"")
    assert parse_file(str(path)) == SubmitFile(path)
    assert parse_file(f"{path}@test") == SubmitFile(path, "test")
    for bad in (f"{path}@dev", str(tmp_path), str(tmp_path / "none"), f"{tmp_path}/none@test"):
        with pytest.raises(ConfigurationError):
            parse_file(bad)
    assert parse_limits("12") == 12
    assert parse_limits("train=60,test=20") == {"train": 60, "test": 20}
    for bad in ("0", "-1", "x", "", "train", "train=", "train=1,train=2", "dev=1", "train=1,"):
        with pytest.raises(ConfigurationError):
            parse_limits(bad)


def test_selection_takes_the_first_rows_of_each_file(
    folder: FolderStore, settings: Settings, tmp_path: Path
) -> None:
    rows = good_rows("r", 30, split=None) + good_rows("q", 30, split=None)
    random.Random(0).shuffle(rows)
    (tmp_path / "f.jsonl").write_bytes(lines(rows))
    files = [SubmitFile(tmp_path / "f.jsonl", "train")]
    submit_batch(folder, files, stream="s", settings=settings, relations=["q"], limits={"train": 7})
    raw = ingest_batch(folder, only(folder, settings), settings=settings)
    assert [r.raw for r in raw.rows] == [r for r in rows if r["relation"] == "q"][:7]
