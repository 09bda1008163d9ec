"""The registered version on Spark in local mode, against the library's own predictor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_pyfunc_model import environment, queries
from tracking_cases import evaluation, facts

from cfcre.config import Settings
from cfcre.data.schema import RelationExample, Span
from cfcre.methods.predictor import Predictor
from cfcre.tracking.client import Tracker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("pyspark") is None, reason="pyspark is not installed; it is the extra spark"
    ),
    pytest.mark.skipif(
        shutil.which("java") is None and "JAVA_HOME" not in os.environ,
        reason="Spark needs Java, and there is none on this machine",
    ),
]

REPEATS = 7
BAD = [
    {"text": "Ada was born.", "head": {"start": 0, "end": 3}, "tail": {"start": 4, "end": 99}},
    {"text": "Ada was born.", "head": {"start": 0, "end": 5}, "tail": {"start": 4, "end": 7}},
    {"text": None, "head": {"start": 0, "end": 3}, "tail": {"start": 4, "end": 7}},
]


def test_every_row_is_answered_as_the_predictor_does(
    settings: Settings, state_dir: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as parquet

    tracker = Tracker(settings)
    run_id = tracker.open_run("news-2")
    tracker.set_alias("champion", tracker.register(run_id, state_dir, evaluation(), facts()))
    given = [{"id": i, **row} for i, row in enumerate([*queries() * REPEATS, *BAD])]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "cfcre.tracking.spark", str(source), str(out), "--top-k", "2"],
        env={
            **environment(settings),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            # Two workers, and batches smaller than a partition.
            "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false "
            "--conf spark.sql.execution.arrow.maxRecordsPerBatch=4 "
            f"--conf spark.local.dir={tmp_path} pyspark-shell",
        },
        capture_output=True,
        text=True,
        timeout=540,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = sorted(parquet.read_table(out / "predicted").to_pylist(), key=lambda row: row["id"])
    assert [row["id"] for row in found] == list(range(len(given) - len(BAD)))
    examples = [
        RelationExample(q["text"], Span(**q["head"]), Span(**q["tail"])) for q in queries()
    ] * REPEATS
    for row, best in zip(found, Predictor.load(state_dir).predict(examples, top_k=2), strict=True):
        answer = row["answer"]
        assert answer["relation"] == best[0].relation
        assert [t["relation"] for t in answer["top"]] == [p.relation for p in best]
        assert [t["score"] for t in answer["top"]] == pytest.approx(
            [p.score for p in best], abs=1e-5
        )
        assert answer["probability"] == pytest.approx(best[0].probability, abs=1e-5)
    refused = {row["id"] for row in parquet.read_table(out / "refused").to_pylist()}
    assert refused == {len(given) - 3, len(given) - 2, len(given) - 1}
