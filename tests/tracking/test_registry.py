"""Versions over a real registry, embedded and remote: one a batch, aliases, states found again."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from tracking_cases import evaluation, facts, make_state

from cfcre.config import Settings
from cfcre.errors import ConfigurationError, NotFoundError, StateError
from cfcre.tracking import registry
from cfcre.tracking.client import Tracker


@pytest.fixture
def tracker(store_settings: Settings) -> Tracker:
    return Tracker(store_settings)


def mlflow_client(settings: Settings) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_an_empty_registry(tracker: Tracker) -> None:
    assert tracker.versions() == []
    assert tracker.alias("champion") is None
    tracker.delete_alias("champion")
    with pytest.raises(NotFoundError, match="1"):
        tracker.state_path("1")


def test_a_batch_is_registered_once(
    store_settings: Settings, tracker: Tracker, state_dir: Path
) -> None:
    run_id = tracker.open_run("news-2")
    first = tracker.register(run_id, state_dir, evaluation(), facts())
    again = Tracker(store_settings).register(run_id, state_dir, evaluation(), facts(token=8))
    other_stream = tracker.register(run_id, state_dir, evaluation(), facts(stream="films"))
    next_batch = tracker.register(run_id, state_dir, evaluation(3), facts(3))
    assert [first, again, other_stream, next_batch] == ["1", "1", "2", "3"]
    listed = tracker.versions()
    assert [v["version"] for v in listed] == ["1", "2", "3"]
    assert listed[0]["token"] == 7
    assert listed[0] | {"created_ms": 0} == {
        "version": "1",
        "aliases": [],
        "run_id": run_id,
        "created_ms": 0,
        "stream": "news",
        "task": 2,
        "batch": f"{2:064x}",
        "batch_name": "b2",
        "relations": 4,
        "average_accuracy": pytest.approx(0.85),
        "forgetting": 0.1,
        "verdict": "promote",
        "parent_version": "1",
        "token": 7,
        "code_version": "0.1.0",
    }


def test_the_tags_come_with_the_version(
    store_settings: Settings, tracker: Tracker, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies right after the version was made leaves one that is found again."""
    run_id = tracker.open_run("news-2")

    def die(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "_first_of_racers", die)
    with pytest.raises(KeyboardInterrupt):
        tracker.register(run_id, state_dir, evaluation(), facts())
    monkeypatch.undo()
    assert Tracker(store_settings).register(run_id, state_dir, evaluation(), facts()) == "1"
    assert len(tracker.versions()) == 1


def test_an_upload_that_was_cut_off_is_finished_in_place(
    store_settings: Settings, tracker: Tracker, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = tracker.open_run("news-2")
    build = registry.build_model_folder

    def die_half_way(folder: Path, state: Path, model: Any, kind: Any) -> None:
        build(folder, state, model, kind)
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "build_model_folder", die_half_way)
    with pytest.raises(KeyboardInterrupt):
        tracker.register(run_id, state_dir, evaluation(), facts())
    monkeypatch.undo()
    assert tracker.versions() == []
    version = tracker.register(run_id, state_dir, evaluation(), facts())
    models = mlflow_client(store_settings).search_logged_models([tracker.prepare()])
    assert [str(m.status) for m in models] == ["READY"]
    assert contents(tracker.state_path(version)) == contents(state_dir)


def test_two_hosts_at_once_come_to_one_version(
    store_settings: Settings,
    tracker: Tracker,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without the home's lock, and with both past the search before either creates."""
    run_id = tracker.open_run("news-2")
    uri = store_settings.tracking_uri
    both_searched = threading.Barrier(2, timeout=60)
    search = registry._versions_of
    calls: dict[int, int] = {}

    def search_and_wait(*arguments: Any) -> list[str]:
        found = search(*arguments)
        mine = calls[threading.get_ident()] = calls.get(threading.get_ident(), 0) + 1
        if mine == 1:
            both_searched.wait()
        return found

    monkeypatch.setattr(registry, "_versions_of", search_and_wait)
    results: list[str] = []

    def register(host: str) -> None:
        tracking = store_settings.tracking.model_copy(
            update={"uri": uri, "artifact_root": store_settings.artifact_root}
        )
        home = {"home": tmp_path / host, "tracking": tracking}
        remote = Tracker(store_settings.model_copy(update=home))
        claim = facts(token=7 if host == "one" else 8)
        results.append(remote.register(run_id, state_dir, evaluation(), claim))

    threads = [threading.Thread(target=register, args=(host,)) for host in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert results == ["1", "1"]
    assert [v["version"] for v in tracker.versions()] == ["1"]


def test_the_state_comes_back_byte_for_byte(
    store_settings: Settings, tracker: Tracker, state_dir: Path
) -> None:
    version = tracker.register(tracker.open_run("news-2"), state_dir, evaluation(), facts())
    found = tracker.state_path(version)
    assert contents(found) == contents(state_dir)
    assert tracker.state_path(version) == found
    if store_settings.tracking.uri is None:
        # In place, under the artifact root: no second copy of the weights.
        assert found.is_relative_to(store_settings.home.absolute() / "mlartifacts")
    else:
        assert found.is_relative_to(store_settings.home.absolute() / "cache")


def test_a_state_that_is_gone_is_said(settings: Settings, state_dir: Path) -> None:
    tracker = Tracker(settings)
    version = tracker.register(tracker.open_run("news-2"), state_dir, evaluation(), facts())
    (tracker.state_path(version) / "state.json").unlink()
    with pytest.raises(StateError, match=f"version {version}"):
        tracker.state_path(version)


def test_aliases_move_and_go(tracker: Tracker, tiny_encoder: Path, tmp_path: Path) -> None:
    run_id = tracker.open_run("news")
    for task in (1, 2):
        state = make_state(tmp_path / f"s{task}", tiny_encoder, [f"r{i}" for i in range(task)])
        tracker.register(run_id, state, evaluation(task), facts(task))
    tracker.set_alias("champion", "1")
    tracker.set_alias("challenger", "2")
    assert [v["aliases"] for v in tracker.versions()] == [["champion"], ["challenger"]]
    tracker.set_alias("champion", "2")
    tracker.set_alias("champion", "2")
    assert [v["aliases"] for v in tracker.versions()] == [[], ["challenger", "champion"]]
    assert tracker.alias("champion") == "2"
    tracker.delete_alias("challenger")
    assert tracker.alias("challenger") is None


@pytest.mark.parametrize("name", ["latest", "Latest", "v3", "V12"])
def test_reserved_aliases_are_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Tracker(settings).set_alias(name, "1")


@pytest.mark.parametrize("version", ["9", "x", "1; --"])
def test_an_alias_of_nothing_is_refused(tracker: Tracker, state_dir: Path, version: str) -> None:
    tracker.register(tracker.open_run("news-2"), state_dir, evaluation(), facts())
    with pytest.raises(NotFoundError, match=version):
        tracker.set_alias("champion", version)
    assert tracker.alias("champion") is None


def test_a_version_needs_its_facts_and_a_state(
    settings: Settings, tmp_path: Path, state_dir: Path
) -> None:
    tracker = Tracker(settings)
    run_id = tracker.open_run("news-2")
    with pytest.raises(ConfigurationError, match="batch_hash"):
        tracker.register(run_id, state_dir, evaluation(), facts(batch_hash=""))
    with pytest.raises(StateError, match=r"state\.json"):
        tracker.register(run_id, tmp_path, evaluation(), facts())
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")
    (tmp_path / "optimizer.PKL").write_bytes(b"\x80\x05.")
    with pytest.raises(StateError, match=r"optimizer\.PKL"):
        tracker.register(run_id, tmp_path, evaluation(), facts())
    assert tracker.versions() == []


def test_the_artifact_folder_is_pickle_free_and_names_no_place(
    settings: Settings, state_dir: Path
) -> None:
    tracker = Tracker(settings)
    version = tracker.register(tracker.open_run("news-2"), state_dir, evaluation(), facts())
    folder = tracker.state_path(version).parents[1]
    files = contents(folder)
    suffixes = {os.path.splitext(name)[1] for name in files}
    assert suffixes <= {"", ".py", ".json", ".jsonl", ".yaml", ".txt", ".safetensors"}
    # Protocol 2 and later pickles start with 0x80 and the protocol's number.
    assert not [n for n, data in files.items() if data[:1] == b"\x80" and data[1:2] <= b"\x05"]
    assert b"cloudpickle" not in b"".join(v for n, v in files.items() if "/" not in n)
    description = yaml.safe_load(files["MLmodel"])
    flavour = description["flavors"]["python_function"]
    assert flavour["model_code_path"] == "pyfunc_model.py"
    assert str(state_dir.parent) not in files["MLmodel"].decode()
    assert all("==" in line for line in files["requirements.txt"].decode().splitlines())


def test_the_card_is_an_artifact_and_the_description(
    store_settings: Settings, tracker: Tracker, state_dir: Path, tmp_path: Path
) -> None:
    run_id = tracker.open_run("news-2")
    version = tracker.register(run_id, state_dir, evaluation(60), facts())
    client = mlflow_client(store_settings)
    item = client.get_model_version(store_settings.tracking.registered_model, version)
    assert len(item.description) <= 5000
    assert item.description.startswith("# Relation extraction after task 60")
    card = Path(client.download_artifacts(run_id, "model_card.md", str(tmp_path)))
    text = card.read_text(encoding="utf-8")
    assert "relation 119" in text
    assert "relation 119" not in item.description
