"""One process of a test: learns two tasks with each method, then looks at what a group notices.

    torchrun --nproc-per-node N stream_worker.py FOLDER

FOLDER holds ``settings.json``, ``1.jsonl`` and ``2.jsonl``; ``METHOD/`` receives the state, and
``noticed-RANK.json`` the errors that each process got. Without torchrun's variables one process
learns.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

METHODS = ("cf-cre", "cf-cre-plus", "joint", "rp-cre", "crl", "cear", "finetune")
#: All rows are memory: representations that a loss has drawn together differ by little, so that
#: rounding decides which of them K-means keeps, and then all that follows differs. The choice is
#: the same where representations are, and they are bit for bit: shown below.
SHARED = {"memory.size": 40}
CHANGED: dict[str, dict[str, Any]] = {
    "crl": {"method.learning_rate": 5e-4},
    "cear": {"cear.memory_epochs": 1},
}


def main(folder: Path) -> None:
    from safetensors.torch import save_file

    from cfcre.config import load_settings
    from cfcre.data.files import read_examples, write_json
    from cfcre.methods.base import Session
    from cfcre.methods.state import LearnerState
    from cfcre.methods.task import learn_task
    from cfcre.modeling.parallel import ALONE, process_group

    base = json.loads((folder / "settings.json").read_text())
    several = "RANK" in os.environ
    with process_group(120, cuda=False) if several else nullcontext(ALONE) as group:
        for method in METHODS:
            changes = {"method.name": method, **SHARED, **CHANGED.get(method, {})}
            settings = load_settings(base=base, overrides=changes, environ={})
            state = LearnerState.fresh(settings)
            facts = {}
            for task in (1, 2):
                rows = read_examples(folder / f"{task}.jsonl")
                facts = learn_task(
                    state, rows, settings, {"batch": f"b{task}", "batch_name": f"b{task}"}
                )
            if group.leads:
                state.save(folder / method)
                write_json(folder / f"{method}.json", facts)
        if several:
            write_json(folder / f"noticed-{group.rank}.json", noticed(group, settings, rows))
            session = Session(settings, 1, 1)
            found = session.represent(state, session.encode(state, rows), mixed=False)
            if group.leads:
                save_file({"h": found}, folder / "features.safetensors")


def noticed(group: Any, settings: Any, rows: list[Any]) -> dict[str, str]:
    """Errors of this process, where process 1 alone has something wrong."""
    import torch

    from cfcre.errors import CfcreError
    from cfcre.methods.base import Session
    from cfcre.methods.state import LearnerState
    from cfcre.methods.training import make_optimizer, train_epoch

    odd = group.rank == 1

    def not_finite() -> None:
        state, session = LearnerState.fresh(settings), Session(settings, 1, 1)
        train_epoch(
            phase="train_task",
            encoder=state.encoder,
            optimizer=make_optimizer(state.encoder, [], settings.method),
            encoded=session.encode(state, rows[:20]),
            labels=torch.zeros(20, dtype=torch.long),
            loss=lambda h, y: {"loss": h.sum() * (float("nan") if odd else 1.0)},
            settings=settings.method,
            compute=session.compute,
            generator=session.generator,
            log=session.log,
            progress=session.progress,
            group=group,
        )

    attempts = {
        "not finite": not_finite,
        "other job": lambda: group.check_same(bytes([int(odd)] * 32), "jobs"),
        "other weights": lambda: group.check_replicas([torch.ones(5) + 0.01 * odd]),
        "rounding": lambda: group.check_replicas([torch.ones(5) + 1e-7 * odd]),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = "nothing"
        except CfcreError as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
