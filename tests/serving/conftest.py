"""One MLflow store with two good versions, shared by the tests, which move its alias."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from serving_cases import make_state, register, serving_settings

from cfcre.config import Settings, load_settings
from cfcre.tracking.client import Tracker


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "CFCRE_")) and name != "MLFLOW_DISABLE_TELEMETRY":
            monkeypatch.delenv(name)
    # Set by a server for its process; tests of other folders are no servers.
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")


@dataclass(frozen=True)
class Store:
    """A real MLflow store: SQLite and a folder of artifacts."""

    settings: Settings
    tracker: Tracker
    states: Path
    encoder: Path

    def promote(self, version: str) -> None:
        self.tracker.set_alias("champion", version)

    def add(self, seed: int, **options: bool) -> str:
        """Register another version."""
        state = make_state(self.states / f"state-{seed}", self.encoder, seed, **options)
        return register(self.tracker, state, seed)


@pytest.fixture(scope="session")
def session_store(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Store:
    home = tmp_path_factory.mktemp("serving") / "home"
    settings = load_settings(home=home, environ={}, overrides={"compute.threads": 1})
    states = tmp_path_factory.mktemp("states")
    store = Store(settings, Tracker(settings), states, tiny_encoder)
    assert [store.add(1), store.add(2)] == ["1", "2"]
    return store


@pytest.fixture
def store(session_store: Store) -> Store:
    """The store with version 1 as its champion."""
    session_store.promote("1")
    return session_store


@pytest.fixture
def settings(store: Store) -> Settings:
    """Settings of a server over the store, on a free port."""
    return serving_settings(store.settings)
