"""A Kubeflow server, settings that lead to it, and a ledger with one batch."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kubeflow_server import KubeflowServer

from cfcre.config import Settings, load_settings
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import Owner

HASH = "a" * 64


@pytest.fixture(scope="session")
def package() -> dict[str, Any]:
    """The pipeline, compiled once: kfp looks through the whole stack at every setting of a task."""
    return compiled("continual-learning")


@functools.cache
def compiled(name: str) -> dict[str, Any]:
    from cfcre_pipelines.compile import PIPELINES

    options = load_settings(environ={})
    pipeline = PIPELINES[name](options.pipeline, options.kubeflow)
    return {
        "pipeline_spec": json_format.MessageToDict(pipeline.pipeline_spec),
        "platform_spec": json_format.MessageToDict(pipeline.platform_spec),
    }


@pytest.fixture(autouse=True)
def _compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def package(settings: Settings, name: str = "continual-learning") -> dict[str, Any]:
        return copy.deepcopy(compiled(name))

    monkeypatch.setattr("cfcre_pipelines.compile.pipeline_package", package)


@pytest.fixture
def server() -> Iterator[KubeflowServer]:
    made = KubeflowServer()
    yield made
    made.close()


@pytest.fixture
def settings(server: KubeflowServer, tmp_path: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home",
        overrides={
            "ledger.url": f"sqlite:///{tmp_path / 'ledger.db'}",
            "pipeline.launcher": "kubeflow",
            "kubeflow.host": server.url,
            "kubeflow.retry_seconds": 0,
            "kubeflow.poll_seconds": 15,
        },
        environ={},
    )


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    made = Ledger(settings.ledger_url)
    made.create()
    made.record_batch("s", HASH, name="a", keys=["inbox/s/a.jsonl"])
    yield made
    made.close()


@pytest.fixture
def claim(ledger: Ledger) -> Callable[..., Claim]:
    """What the run's first stage does, in a pod of the cluster."""

    def take(run: str = "", lease_seconds: float = 60.0) -> Claim:
        made = ledger.claim(
            "s",
            owner=Owner("a-pod", "", 1, "1"),
            lease_seconds=lease_seconds,
            max_attempts=9,
            max_interruptions=9,
            retry_backoff_seconds=0.0,
        )
        assert made is not None
        ledger.advance(made, "claimed", **({"pipeline_run": run} if run else {}))
        return made

    return take
