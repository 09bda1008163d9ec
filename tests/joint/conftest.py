"""Homes with a tiny encoder, and runs within the test's process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))

from joint_world import World

from cfcre.config import load_settings


@pytest.fixture(scope="session")
def empty_tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: its migrations take seconds."""
    from cfcre.operations.tracking_store import open_tracker

    settings = load_settings(home=tmp_path_factory.mktemp("tracking"), environ={})
    assert open_tracker(settings).versions() == []
    return settings.home / "mlflow.db"


@pytest.fixture
def make_world(
    tmp_path: Path,
    tiny_encoder: Path,
    empty_tracking_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., World]:
    """Function ``(**{"section.key": value}) -> World``."""

    def make(**changes: object) -> World:
        home = tmp_path / "home"
        monkeypatch.setenv("CFCRE_HOME", str(home))
        monkeypatch.delenv("CFCRE_RUN_DIR", raising=False)
        home.mkdir()
        shutil.copy(empty_tracking_store, home / "mlflow.db")
        settings = load_settings(
            home=home,
            overrides={
                "encoder.name": str(tiny_encoder),
                "encoder.max_length": 64,
                "spans.encoder": str(tiny_encoder),
                "spans.max_length": 64,
                "spans.max_span_width": 2,
                "spans.dropout": 0.0,
                "spans.hidden_dropout": 0.0,
                "spans.epochs": 15,
                "spans.learning_rate": 5e-3,
                "spans.batch_size": 4,
                "spans.temperature": 1.0,
                "compute.precision": "float32",
                "compute.threads": 1,
                "joint.min_entity_f1": 0.0,
                "joint.min_relation_f1": 0.0,
                "ledger.retry_backoff_seconds": 0.0,
                "pipeline.stage_retries": 0,
                **{name.replace("__", "."): value for name, value in changes.items()},
            },
        )
        return World(settings, tmp_path / "runs")

    return make
