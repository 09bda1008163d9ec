"""The core runs where only torch, transformers and scikit-learn were installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bench_cases import command

from cfcre.benchmarking.method_code import method_digest, modules_of

BLOCKED = "mlflow kfp great_expectations sqlalchemy alembic boto3 pyarrow kubernetes starlette"


@pytest.mark.slow
def test_a_benchmark_on_a_bare_machine(fewrel_like, tiny_encoder, tmp_path):
    words = command(fewrel_like, tiny_encoder, tmp_path / "out", methods="finetune")
    words[words.index("--orders") + 1] = "0"
    # As on a machine where MLflow is not installed: it is looked for, and not found.
    words.remove("--no-mlflow")
    program = f"""
import importlib.util, sys
from importlib.abc import MetaPathFinder
def blocked(name):
    return name.split(".")[0] in {BLOCKED.split()!r}
class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if blocked(name):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if blocked(name) else found(name, *more)
from cfcre.cli.main import main
sys.exit(main({words!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "MLflow is not installed: nothing is logged there" in done.stdout
    assert (tmp_path / "out" / "table1.md").is_file()


def test_a_methods_code_is_what_it_imports_and_not_the_other_methods():
    ours, bare = modules_of("cf-cre"), modules_of("finetune")
    assert {"cfcre.methods.cf_cre", "cfcre.modeling.losses.focal"} <= set(ours)
    assert "cfcre.methods.cf_cre" not in bare and "cfcre.modeling.losses.focal" not in bare
    # Both are run by the same code.
    shared = {"cfcre.methods.task", "cfcre.methods.training", "cfcre.modeling.encoder"}
    assert shared | {"cfcre.data.tokenisation", "cfcre.methods.predictor"} <= set(bare)
    assert "cfcre.methods.registry" not in ours
    assert method_digest("cf-cre") != method_digest("finetune")


def test_comments_and_docstrings_are_not_code(tmp_path, monkeypatch):
    from cfcre.benchmarking import method_code

    (tmp_path / "one.py").write_text('"""A."""\ndef f():\n    """B."""\n    return 1  # C\n')
    (tmp_path / "two.py").write_text("def f():\n\n    return 1\n")
    (tmp_path / "three.py").write_text("def f():\n    return 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    one, two, three = (method_code._code(name) for name in ("one", "two", "three"))
    assert one == two != three
