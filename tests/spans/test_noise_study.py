"""The noise study: what is planned, what is repeated, and what its report says."""

from __future__ import annotations

import csv
import json

import pytest

from cfcre.errors import DataError
from cfcre.evaluation.noise_report import noise_csv, noise_markdown, write_noise_report
from cfcre.evaluation.noise_study import NoiseResult, NoiseRun, plan_runs
from cfcre.evaluation.run_store import RunStore

KINDS = ("symmetric", "pair-flip")


def result(run: NoiseRun, f1: float) -> NoiseResult:
    figures = {"precision": f1, "recall": f1, "f1": f1}
    scores = {
        task: {"micro": figures, "macro": figures, "per_type": {}}
        for task in ("entities", "relations", "relations_strict")
    }
    noise = {"entities": 10, "changed_entities": 2, "relations": 5, "changed_relations": 1}
    return NoiseResult(run, scores, noise)


def test_without_noise_the_kinds_are_one_run():
    plan = plan_runs(["a", "b"], KINDS, [0.0, 0.2], [1, 2])
    assert len(plan) == 2 * 2 * (1 + 2) == len(set(plan))
    assert {r.kind for r in plan if r.rate == 0} == {None}
    assert [r.seed for r in plan] == [1] * 6 + [2] * 6


def test_the_table_has_mean_and_deviation_over_the_seeds():
    runs = plan_runs(["m"], KINDS, [0.0, 0.4], [1, 2])
    values = {(None, 1): 0.5, (None, 2): 0.6, ("symmetric", 1): 0.4, ("symmetric", 2): 0.4}
    results = [result(r, values[r.kind, r.seed]) for r in runs if r.kind != "pair-flip"]
    lines = noise_markdown(results, KINDS, "micro", "Caption.").splitlines()
    header, symmetric, flipped = (
        [cell.strip() for cell in lines[i].strip("|").split("|")] for i in (0, 2, 3)
    )
    assert header[:4] == ["model", "noise", "entity 0 %", "entity 40 %"]
    assert symmetric[:4] == ["m", "symmetric", "55.00 ± 7.07", "40.00 ± 0.00"]
    assert flipped[:4] == ["m", "pair-flip", "55.00 ± 7.07", "–"]
    assert "seeds 1, 2" in lines[-1] and lines[-1].endswith("Caption.")
    rows = list(csv.DictReader(noise_csv(results).splitlines()))
    assert len(rows) == len(results) * 3 * 2
    assert rows[0]["noise"] == "none" and float(rows[0]["f1"]) == 0.5


def test_the_figures_are_pictures_and_the_same_twice(tmp_path):
    results = [result(r, 0.5 - r.rate / 2) for r in plan_runs(["m", "n"], KINDS, [0.0, 0.2], [1])]
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        paths = write_noise_report(results, KINDS, folder, average="macro", caption="x")
        assert [p.name for p in paths] == [
            "noise.md",
            "noise.csv",
            "noise-entities.png",
            "noise-relations.png",
        ]
        contents.append([p.read_bytes() for p in paths])
    assert contents[0] == contents[1]
    assert contents[0][2].startswith(b"\x89PNG") and contents[0][2] != contents[0][3]


class TestRunStore:
    def test_a_finished_run_is_not_repeated(self, tmp_path):
        store, calls = RunStore(tmp_path), []

        def work():
            calls.append(1)
            return {"f1": 0.5}

        for expected in (False, True):
            assert store.run("a run", {"seed": 1}, work) == ({"f1": 0.5}, expected)
        assert store.run("a run", {"seed": 2}, work) == ({"f1": 0.5}, False)
        assert len(calls) == 2 and len(list((tmp_path / "runs").iterdir())) == 2

    def test_a_run_that_fails_leaves_nothing(self, tmp_path):
        store = RunStore(tmp_path)

        def broken():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.run("x", {}, broken)
        assert store.finished("x", {}) is None

    def test_a_damaged_result_is_not_believed(self, tmp_path):
        store = RunStore(tmp_path)
        store.run("x", {"seed": 1}, lambda: {"f1": 1.0})
        path = store.path("x", {"seed": 1})
        path.write_text(path.read_text()[:-5])
        with pytest.raises(DataError):
            store.finished("x", {"seed": 1})
        path.write_text(json.dumps({"decides": {"seed": 2}, "result": {}}))
        with pytest.raises(DataError, match="delete it"):
            store.finished("x", {"seed": 1})

    def test_names_make_safe_files(self, tmp_path):
        path = RunStore(tmp_path).path("../a b/c 20%", {})
        assert path.parent == tmp_path / "runs"
