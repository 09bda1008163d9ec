"""Data of the benchmark's tests, and one finished benchmark that many tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_cases import command, write_fewrel


@pytest.fixture(scope="session")
def fewrel_like(tmp_path_factory: pytest.TempPathFactory, relation_rows) -> Path:
    """A folder as FewRel's, of six relations."""
    return write_fewrel(tmp_path_factory.mktemp("fewrel"), relation_rows)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, fewrel_like: Path, tiny_encoder: Path
) -> Path:
    """Results of two methods on two orders, with ablations and a sweep."""
    from cfcre.cli.main import main

    out = tmp_path_factory.mktemp("bench") / "out"
    more = ("--ablations", "--sweep", "lambda1=0.1,0.5,gamma1=0.5")
    assert main(command(fewrel_like, tiny_encoder, out, *more)) == 0
    return out
