"""A step on two nodes: the TrainJob's own command, run twice as two machines would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from kubernetes_api import KubernetesApi
from test_equality import CLOSE, NO_GRADIENT
from training_cases import free_port, quick_settings

from cfcre.methods import steps
from cfcre.methods.state import LearnerState
from cfcre.operations.training import run

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]


class Nodes:
    """What Kubeflow Trainer does: starts the command once a node, with torchrun's PET variables."""

    def __init__(self, api: KubernetesApi, homes: Path, store: str) -> None:
        self.api, self.homes, self.store = api, homes, store
        self.output = ""

    def start(self, job: dict[str, Any]) -> None:
        trainer = job["spec"]["trainer"]
        port = str(free_port())
        command = [sys.executable, *trainer["command"][1:], *trainer["args"]]
        nodes = [
            subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "CFCRE_HOME": str(self.homes / f"node-{rank}"),
                    "CFCRE_STORE": self.store,
                    "PET_NNODES": str(trainer["numNodes"]),
                    "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                    "PET_NODE_RANK": str(rank),
                    "PET_MASTER_ADDR": "127.0.0.1",
                    "PET_MASTER_PORT": port,
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(trainer["numNodes"])
        ]
        self.output = "".join(node.communicate()[0] for node in nodes)
        ended_well = all(node.returncode == 0 for node in nodes)
        self.api.condition(job["metadata"]["name"], "Complete" if ended_well else "Failed")


def test_two_nodes_learn_what_one_process_learns(
    tmp_path: Path,
    tiny_encoder: Path,
    task_rows: list[list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = quick_settings(
        tmp_path / "home",
        tiny_encoder,
        **{"pipeline.training": "trainjob", "trainjob.poll_seconds": 0.1},
    )
    lineage = {"batch": "b1", "batch_name": "b1"}
    rows, told = task_rows[0], lambda *step: None
    with KubernetesApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        nodes = Nodes(api, tmp_path, settings.store_url)
        api.on_create = nodes.start
        attempt = run.Attempt("news-001-ab-a1", 1, "news")
        try:
            facts = run.train_task(
                None,
                rows,
                [],
                tmp_path / "by-nodes",
                settings,
                lineage=lineage,
                progress=told,
                attempt=attempt,
            )
        except Exception:
            print(nodes.output)
            raise
        assert api.created[0]["spec"]["trainer"]["numNodes"] == 2
        assert [api.jobs, len(api.created)] == [{}, 1]
    alone = steps.train_task(None, rows, [], tmp_path / "alone", settings, lineage=lineage)
    assert facts["steps"] == alone["steps"]
    one, other = (
        LearnerState.load(tmp_path / name).encoder.state_dict() for name in ("alone", "by-nodes")
    )
    for name, value in one.items():
        if not name.endswith(NO_GRADIENT):
            torch.testing.assert_close(other[name], value, rtol=0, atol=CLOSE)
