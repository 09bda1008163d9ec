"""Extractors from a real MLflow store: which versions are taken, what is said of a missing one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from extraction_cases import ADDED

from cfcre.config import load_settings
from cfcre.errors import NotFoundError, StateError
from cfcre.extraction.calibration import Calibration
from cfcre.extraction.extractor import Extractor
from cfcre.tracking.parts import champion_of, connect

SENTENCE = "in spring ada founded riga last year 7"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A database with MLflow's tables and nothing else; making one takes seconds."""
    home = tmp_path_factory.mktemp("registry")
    assert connect(load_settings(home=home, environ={}), "cfcre").client is not None
    return home / "mlflow.db"


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    shutil.copy(prepared, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def settings(home: Path):
    return load_settings(home=home, overrides={"compute.threads": 1}, environ={})


@pytest.fixture
def register(settings, home: Path):
    """Function ``(name, state folder, **tags) -> version``; the version becomes the champion."""

    def add(name: str, state: Path, **tags: str) -> str:
        client = connect(settings, name).client
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        folder = home / "files" / name / str(len(list(home.rglob("artifacts"))))
        shutil.copytree(state, folder / "artifacts" / "state")
        made = client.create_model_version(
            name, folder.as_uri(), tags={f"cfcre.{k}": v for k, v in tags.items()}
        )
        client.set_registered_model_alias(name, "champion", made.version)
        return str(made.version)

    return add


@pytest.fixture
def extractor_state(tmp_path: Path) -> Path:
    """What a version of the extractor holds."""
    folder = tmp_path / "extractor-state"
    folder.mkdir()
    (folder / "extractor.json").write_text("{}")
    Calibration(0.25, {"wrote": 0.125}).write(folder / "calibration.json")
    return folder


def test_a_span_model_alone(settings, register, span_folder):
    register("cfcre-spans", span_folder)
    loaded = Extractor.from_registry("cfcre", settings=settings)
    assert loaded.versions == {"spans": "1"}
    assert loaded.relations is None and loaded.calibration is None
    assert loaded(SENTENCE).relations


def test_both_champions_are_joined(settings, register, span_folder, learner_folder):
    register("cfcre-spans", span_folder)
    register("cfcre", learner_folder)
    register("cfcre", learner_folder)
    loaded = Extractor.from_registry(settings=settings)
    assert loaded.versions == {"spans": "1", "relations": "2"}
    assert loaded.added_relations == ADDED
    assert loaded.symmetric == {"married to"}


def test_another_name(settings, register, span_folder):
    register("people-spans", span_folder)
    assert Extractor.from_registry("people", settings=settings).versions == {"spans": "1"}
    with pytest.raises(NotFoundError, match="no champion of cfcre-spans yet"):
        Extractor.from_registry(settings=settings)


def test_the_extractor_says_which_span_model_belongs_to_it(
    settings, register, span_folder, learner_folder, extractor_state
):
    register("cfcre-spans", span_folder)
    register("cfcre", learner_folder)
    register("cfcre-extractor", extractor_state, spans_version="1", relations_version="1")
    # Both have newer champions: the span model of the extractor stays, the relation model moves on.
    register("cfcre-spans", span_folder)
    register("cfcre", learner_folder)
    loaded = Extractor.from_registry(settings=settings)
    assert loaded.versions == {"extractor": "1", "spans": "1", "relations": "2"}
    assert loaded.calibration is not None
    assert (loaded.calibration.threshold, loaded.calibration.threshold_of("wrote")) == (0.25, 0.125)
    pinned = Extractor.from_registry(settings=settings, pinned=True)
    assert pinned.versions == {"extractor": "1", "spans": "1", "relations": "1"}


def test_an_extractor_without_a_relation_model(settings, register, span_folder, extractor_state):
    (extractor_state / "calibration.json").unlink()
    register("cfcre-spans", span_folder)
    register("cfcre-extractor", extractor_state, spans_version="1")
    for pinned in (False, True):
        loaded = Extractor.from_registry(settings=settings, pinned=pinned)
        assert loaded.versions == {"extractor": "1", "spans": "1"}
        assert loaded.relations is None


def test_what_is_missing_is_named(settings, register, span_folder, learner_folder, extractor_state):
    register("cfcre", learner_folder)
    with pytest.raises(NotFoundError, match="no champion of cfcre-spans yet, which finds the"):
        Extractor.from_registry(settings=settings)
    register("cfcre-extractor", extractor_state)
    with pytest.raises(StateError, match=r"version 1 of cfcre-extractor carries no tag"):
        Extractor.from_registry(settings=settings)
    register("cfcre-extractor", extractor_state, spans_version="7")
    with pytest.raises(NotFoundError, match="version 7"):
        Extractor.from_registry(settings=settings)
    register("cfcre-spans", extractor_state)
    register("cfcre-extractor", extractor_state, spans_version="1")
    with pytest.raises(StateError, match="version 1 of cfcre-spans is not where MLflow says"):
        Extractor.from_registry(settings=settings)


def test_files_changed_behind_the_registrys_back_are_refused(settings, register, span_folder):
    import hashlib

    digest = hashlib.sha256((span_folder / "model.json").read_bytes()).hexdigest()
    register("cfcre-spans", span_folder, state=digest)
    assert Extractor.from_registry(settings=settings)
    file = next((settings.home / "files").rglob("model.json"))
    file.write_text(file.read_text() + " ")
    with pytest.raises(StateError, match=r"model\.json is not the one that was registered"):
        Extractor.from_registry(settings=settings)


def test_a_store_that_does_not_exist_is_not_made(tmp_path: Path):
    settings = load_settings(home=tmp_path / "new", environ={})
    with pytest.raises(NotFoundError, match="no champion of cfcre-spans yet"):
        Extractor.from_registry(settings=settings)
    assert not (tmp_path / "new").exists()


def test_a_version_on_another_host_is_downloaded_once(settings, register, span_folder, monkeypatch):
    """MLflow's own client copies it, from an address that is no local folder."""
    from cfcre.tracking import parts

    register("cfcre-spans", span_folder)
    connection = connect(settings, "cfcre-spans")
    local = Path(
        connection.client.get_model_version_download_uri("cfcre-spans", "1").removeprefix("file://")
    )
    fetched = []
    from mlflow import artifacts

    real = artifacts.download_artifacts

    def download(*, artifact_uri, dst_path, tracking_uri):
        fetched.append(artifact_uri)
        path = artifact_uri.removeprefix("far-away://store")
        return real(artifact_uri=f"file://{path}", dst_path=dst_path, tracking_uri=tracking_uri)

    monkeypatch.setattr(artifacts, "download_artifacts", download)
    monkeypatch.setattr(
        type(connection.client),
        "get_model_version_download_uri",
        lambda self, name, version: f"far-away://store{local}",
    )
    for _ in range(2):
        folder = parts.folder_of(connection, "1", "model.json")
        assert folder.is_relative_to(settings.home / "cache")
        assert Extractor.load(spans=folder)(SENTENCE).relations
    assert fetched == [f"far-away://store{local}/artifacts/state"]
    shutil.rmtree(settings.home / "cache")
    with pytest.raises(StateError, match=r"holds no state\.json"):
        parts.folder_of(connection, "1", "state.json")
    assert not list((settings.home / "cache").rglob("model.json")), "nothing half made stays"


def test_an_alias_that_is_not_there(settings):
    assert champion_of(connect(settings, "nothing")) is None
