"""Documents of a settled batch go on exactly once, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from joint_cases import make_documents

from cfcre.config import Settings, load_settings
from cfcre.config.names import documents_stream, is_documents_stream, model_of_stream
from cfcre.errors import StoreUnavailable
from cfcre.intake.folder import FolderStore
from cfcre.intake.store import NAME
from cfcre.intake.submit import SubmitFile, submit_batch
from cfcre.operations.joint.handing_on import hand_documents_on
from cfcre.operations.ledger import BatchRecord, Ledger
from cfcre.operations.owner import current_owner
from cfcre.operations.reconciler import ReconcileReport, reconcile


class NoLauncher:
    def launch(self, stream: str, batch_hash: str) -> bool:
        raise AssertionError(f"{stream} was launched")


class BreakingStore(FolderStore):
    """Stops answering after so many changes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.left = 10**6

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("the store did not answer")

    def write(self, key: str, data: bytes) -> None:
        self._count()
        super().write(key, data)

    def move(self, source: str, target: str) -> None:
        self._count()
        super().move(source, target)


class Home:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings: Settings = load_settings(home=folder, environ={}, overrides=settings)
        self.store = BreakingStore(folder / "store")
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger.create()

    def step(self) -> ReconcileReport:
        everything = frozenset(s["name"] for s in self.ledger.status()["streams"])
        return reconcile(
            settings=self.settings,
            store=self.store,
            ledger=self.ledger,
            launcher=NoLauncher(),
            skip_streams=everything | {"news", "news.documents"},
        )

    def learn(self, files: list[dict[str, str]], verdict: str = "hold") -> BatchRecord:
        """What a run of the relation pipeline leaves behind."""
        claim = self.ledger.claim(
            "news", owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=1
        )
        assert claim is not None
        self.ledger.advance(
            claim, "evaluated", files=files, model_version=f"{claim.task}", verdict=verdict
        )
        self.ledger.settle(claim)
        return self.ledger.batch(claim.batch_hash, "news")

    def streams(self) -> dict[str, list[dict[str, Any]]]:
        return {s["name"]: s["pending"] for s in self.ledger.status()["streams"]}

    def inbox(self) -> list[str]:
        return [info.key for info in self.store.list("inbox/")]


SPERT = [{"path": "one.json", "format": "spert"}]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def content(relation_rows) -> bytes:
    return json.dumps(make_documents(relation_rows, ["owns"], 3, 1)).encode()


def test_a_settled_batch_is_handed_on_once(home: Home, content: bytes) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    home.learn(SPERT)
    report = home.step()
    assert report.handed_on == ["news.documents"]
    assert report.look_again and not report.idle
    assert [b.stream for b in home.step().recorded] == ["news.documents"]
    digest = hashlib.sha256(content).hexdigest()
    kept = home.store.read(f"processed/news/{digest}/one.json", limit=10**6)
    (waiting,) = home.streams()["news.documents"]
    assert kept == home.store.read(f"inbox/news.documents/{waiting['name']}/one.json", limit=10**6)
    before = home.inbox()
    # The same content again is the same batch, in both streams.
    home.store.write("inbox/news/again.json", content)
    for _ in range(2):
        assert home.step().handed_on == []
    assert home.inbox() == before
    assert len(home.streams()["news.documents"]) == 1


@pytest.mark.parametrize("changes", range(5))
def test_a_store_that_breaks_at_any_change(home: Home, content: bytes, changes: int) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    home.learn(SPERT)
    home.store.left = changes  # two objects to write, one to move
    if changes < 3:
        with pytest.raises(StoreUnavailable):
            home.step()
    else:
        home.step()
    home.store.left = 10**6
    for _ in range(3):
        home.step()
    assert len(home.streams()["news.documents"]) == 1
    assert all(key.startswith("inbox/news.documents/") for key in home.inbox())


def test_a_process_killed_between_copy_and_move(home: Home, content: bytes) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    batch = home.learn(SPERT)
    assert hand_documents_on(home.settings, home.store, home.ledger, batch) == "news.documents"
    # It was found and recorded, and the first batch's object was moved, before anybody noted so.
    home.store.move("inbox/news/one.json", f"processed/news/{batch.batch_hash}/one.json")
    for _ in range(2):
        assert home.step().handed_on == []
    assert len(home.streams()["news.documents"]) == 1
    assert not home.ledger.misplaced()


def test_objects_on_their_way_are_found(home: Home, content: bytes) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    batch = home.learn(SPERT)
    home.store.move("inbox/news/one.json", f"processed/news/{batch.batch_hash}/one.json")
    assert home.step().handed_on == ["news.documents"]


def test_only_documents_of_a_batch_go_on_with_their_split(
    home: Home, content: bytes, tmp_path: Path, relation_rows
) -> None:
    (tmp_path / "docs.json").write_bytes(content)
    rows = [json.dumps(row.to_json()) for row in relation_rows(["owns"], 3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    files = [SubmitFile(tmp_path / "rows.jsonl"), SubmitFile(tmp_path / "docs.json", "test")]
    submit_batch(
        home.store, files, stream="news", settings=home.settings, relations=["owns"], sequence=1
    )
    home.step()
    home.learn(
        [{"path": "rows.jsonl", "format": "jsonl"}, {"path": "docs.json", "format": "spert"}]
    )
    home.step()
    (manifest_key,) = (key for key in home.inbox() if key.endswith("manifest.json"))
    manifest = json.loads(home.store.read(manifest_key, limit=10**6))
    (file,) = manifest["files"]
    assert (file["path"], file["split"], file["format"]) == ("docs.json", "test", "spert")
    # Filter and place in the stream concern the rows alone.
    assert (manifest["relations"], manifest["sequence"]) == (None, None)


def test_rows_are_not_documents(home: Home) -> None:
    home.store.write("inbox/news/rows.jsonl", b"{}\n")
    home.step()
    home.learn([{"path": "rows.jsonl", "format": "jsonl"}])
    assert home.step().handed_on == []
    assert list(home.streams()) == ["news"]


def test_content_that_was_replaced_is_not_handed_on(home: Home, content: bytes) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    home.learn(SPERT)
    home.store.write("inbox/news/one.json", b"[]")
    assert home.step().handed_on == []


def test_it_can_be_switched_off(tmp_path: Path, content: bytes) -> None:
    home = Home(tmp_path / "home", **{"joint.enabled": False})
    home.store.write("inbox/news/one.json", content)
    home.step()
    home.learn(SPERT)
    assert home.step().handed_on == []
    assert home.inbox() == []


@pytest.mark.parametrize(
    ("message", "retryable", "reason", "goes_on"),
    [
        ("few rows", False, "too_few_rows", True),
        ("disk full", True, None, False),
    ],
)
def test_a_rejected_batch_goes_on_and_a_failed_one_does_not(
    home: Home, content: bytes, message: str, retryable: bool, reason: str | None, goes_on: bool
) -> None:
    home.store.write("inbox/news/one.json", content)
    home.step()
    claim = home.ledger.claim(
        "news", owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=1
    )
    assert claim is not None
    home.ledger.advance(claim, "claimed", files=SPERT)
    home.ledger.record_error(claim, "validate", message, retryable, reason)
    home.ledger.settle(claim)
    assert (home.step().handed_on == ["news.documents"]) == goes_on
    if not goes_on:
        home.ledger.skip(claim.batch_hash, "news")
        assert home.step().handed_on == [], "a batch that a person gave up"


def test_names_of_streams_and_models() -> None:
    assert documents_stream("news") == "news.documents" == documents_stream("news.documents")
    assert is_documents_stream("a.documents") and not is_documents_stream("documents")
    longest = "x" * 128
    made = {documents_stream(longest), documents_stream(longest[:-1] + "y")}
    assert len(made) == 2
    assert all(NAME.fullmatch(name) and is_documents_stream(name) for name in made)
    assert model_of_stream("m", "news") == "m"
    assert model_of_stream("m", "news.documents") == "m-spans"
