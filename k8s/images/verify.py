"""Check a built environment before it becomes an image: verify.py cpu|cuda.

Stops the build where the other build of PyTorch was installed, or where something that was removed
to save room is needed after all.
"""

# A program that talks to its terminal.

from __future__ import annotations

import importlib
import sys

MODULES = (
    "cfcre.cli.main",
    "cfcre.operations.ledger.ledger",
    "cfcre.operations.watch",
    "cfcre.serving.server",
    "cfcre.tracking.pyfunc_model",
    "cfcre_components.train_task.component",
    "cfcre_pipelines.continual_learning",
    "cfcre_pipelines.joint_extraction",
    "alembic",
    "boto3",
    "great_expectations",
    "kfp.compiler",
    "kfp.dsl.executor_main",
    "kfp.kubernetes",
    "matplotlib.pyplot",
    "mlflow.pyfunc",
    "mlflow.server",
    "pandas",
    "prometheus_client",
    "psycopg",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.cluster",
    "torch._dynamo",
    "torch.distributed.run",
    "transformers",
)


def main(variant: str) -> int:
    """Import what the product uses and compare PyTorch's build; 1 where something is wrong."""
    for name in MODULES:
        importlib.import_module(name)
    import torch

    found = "cpu" if torch.version.cuda is None else "cuda"
    if found != variant:
        print(
            f"error: VARIANT is {variant}, but pip found PyTorch {torch.__version__} built for "
            f"{found}; docs/images.md says which index offers which build",
            file=sys.stderr,
        )
        return 1
    print(f"PyTorch {torch.__version__}, {found}; {len(MODULES)} modules import")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
