"""The tables of docs/RESULTS.md are those of the runs that are kept beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "fewrel"
PAGE = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
METHODS = sorted({p.name.rsplit("-order-", 1)[0] for p in (RESULTS / "runs").glob("*.json")})


def accuracies(method: str) -> np.ndarray:
    """Right rows over rows, in percent, an order a line and a task a column."""
    orders = []
    for path in sorted((RESULTS / "runs").glob(f"{method}-order-?-*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert stored["decides"]["changed"] == {"method.name": method}
        records = stored["result"]["records"]
        orders.append([100 * sum(r["scores"]["right"]) / sum(r["scores"]["rows"]) for r in records])
    return np.array(orders)


@pytest.mark.parametrize("method", METHODS)
def test_a_line_of_the_table_is_that_of_its_runs(method):
    found = accuracies(method)
    if len(found) > 1:
        pairs = zip(found.mean(axis=0), found.std(axis=0, ddof=1), strict=True)
        cells = [f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in pairs]
    else:
        cells = [f"{value:.1f}" for value in found[0]]
    assert f"| `{method}` | {len(found)} | {' | '.join(cells)} |" in PAGE


def test_the_tables_are_the_benchmarks_own():
    assert (RESULTS / "table1.md").read_text(encoding="utf-8").strip() in PAGE
    assert (RESULTS / "speed.md").read_text(encoding="utf-8").strip() in PAGE
