"""One process of a test: learns two tasks with each method inside a process group.

    torchrun --nproc-per-node N stream_worker.py FOLDER

FOLDER holds ``settings.json``, ``1.jsonl`` and ``2.jsonl``; ``METHOD/`` receives the state. Without
torchrun's variables the same is done by one process.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

METHODS = ("cf-cre", "finetune")


def main(folder: Path) -> None:
    from cfcre.config import load_settings
    from cfcre.data.files import read_examples, write_json
    from cfcre.methods.parallel import ALONE, process_group
    from cfcre.methods.state import LearnerState
    from cfcre.methods.task import learn_task

    base = json.loads((folder / "settings.json").read_text())
    several = "RANK" in os.environ
    with process_group(120, cuda=False) if several else nullcontext(ALONE) as group:
        for method in METHODS:
            settings = load_settings(base=base, overrides={"method.name": method}, environ={})
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
