"""Whole benchmarks of a tiny encoder: repeatable, resumable, and honest about stale results."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bench_cases import command

from cfcre.cli.main import main
from cfcre.config import Settings


def scores(out: Path) -> dict[str, list]:
    """Scores of every finished run by its file's name."""
    return {
        path.name: [r["scores"] for r in json.loads(path.read_text())["result"]["records"]]
        for path in sorted((out / "runs").iterdir())
    }


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_all_files_are_there(finished):
    names = {p.name for p in finished.iterdir() if p.is_file()}
    expected = "results.csv table1.md table2.md sweeps.md speed.md report.md"
    expected += " accuracy.png accuracy.svg figure2.png figure2.svg"
    assert set(expected.split()) <= names
    assert not list((finished / "unfinished").iterdir())
    assert (finished / "figure2.svg").read_text().lstrip().startswith("<?xml")


def test_table_1_is_the_mean_over_orders_of_right_over_rows(finished):
    table = (finished / "table1.md").read_text()
    for method in ("finetune", "cf-cre"):
        by_task = []
        for task in ("1", "2", "3"):
            values = [
                100 * int(r["right"]) / int(r["rows"])
                for r in rows(finished)
                if (r["method"], r["group"], r["task"]) == (method, "method", task)
            ]
            assert len(values) == 2
            by_task.append(f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}")
        assert f"| `{method}` | 2 | {' | '.join(by_task)} |" in table


def test_rows_grow_and_relations_are_all_seen(finished):
    for r in rows(finished):
        task = int(r["task"])
        assert int(r["relations_seen"]) == 2 * task
        assert int(r["rows"]) == 12 * task
        assert int(r["memory_rows"]) == (0 if r["method"] == "finetune" else 20 * task)
        assert int(r["steps"]) > 0 and float(r["learning_seconds"]) > 0
        assert float(r["learning_processor_seconds"]) > 0
        assert int(r["peak_bytes"]) > 50e6


def test_what_was_planned_twice_was_run_once(finished):
    keys: dict[str, set[str]] = {}
    for r in rows(finished):
        keys.setdefault(r["key"], set()).add(r["method"])
    # The sweep's values that are cf-cre's own are the method itself, as the ablation's first row.
    assert (
        sum(
            labels == {"cf-cre", "cf-cre lambda1=0.1", "cf-cre gamma1=0.5"}
            for labels in keys.values()
        )
        == 2
    )
    assert len(keys) == len(list((finished / "runs").iterdir()))


def test_the_same_command_twice_gives_the_same_tables(
    finished, fewrel_like, tiny_encoder, tmp_path
):
    again = tmp_path / "again"
    assert main(command(fewrel_like, tiny_encoder, again)) == 0
    assert (again / "table1.md").read_bytes() == (finished / "table1.md").read_bytes()
    everything = scores(finished)
    assert {name: everything[name] for name in scores(again)} == scores(again)


def test_a_finished_benchmark_runs_nothing(finished, fewrel_like, tiny_encoder, capsys):
    before = {p: p.stat().st_mtime_ns for p in (finished / "runs").iterdir()}
    table = (finished / "table1.md").read_bytes()
    assert main(command(fewrel_like, tiny_encoder, finished, "--ablations")) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before") == 12 and "task 1/3" not in printed
    assert {p: p.stat().st_mtime_ns for p in (finished / "runs").iterdir()} == before
    assert (finished / "table1.md").read_bytes() == table


@pytest.mark.kill
@pytest.mark.timeout(1200)
def test_killed_in_the_middle_it_goes_on_and_ends_as_undisturbed(
    finished, fewrel_like, tiny_encoder, tmp_path
):
    out = tmp_path / "killed"
    words = command(fewrel_like, tiny_encoder, out)
    program = f"import sys; from cfcre.cli.main import main; sys.exit(main({words!r}))"
    kills = 0
    for wanted in (r"cf-cre-order-0", r"cf-cre-order-1"):
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.DEVNULL,
        )
        try:
            while process.poll() is None:
                kept = list((out / "unfinished").glob("*/progress.json"))
                if any(re.match(wanted, p.parent.name) for p in kept):
                    break
                time.sleep(0.002)
        finally:
            process.kill()
            process.wait()
        kills += process.returncode == -signal.SIGKILL
    assert kills == 2
    assert list((out / "unfinished").glob("*/progress.json")), "a run was begun and kept"
    assert main(words) == 0
    undisturbed = scores(finished)
    resumed = scores(out)
    assert len(resumed) == 4
    assert resumed == {name: undisturbed[name] for name in resumed}
    assert (out / "table1.md").read_bytes() == (finished / "table1.md").read_bytes()
    assert not list((out / "unfinished").iterdir())


def one_run(fewrel_like, tiny_encoder, out, *more):
    return main(command(fewrel_like, tiny_encoder, out, "--orders", "0", *more, methods="finetune"))


@pytest.fixture
def single(finished, tmp_path) -> Path:
    """Results with one finished run of finetune."""
    out = tmp_path / "single"
    (out / "runs").mkdir(parents=True)
    (run,) = (finished / "runs").glob("finetune-order-0-*")
    shutil.copy(run, out / "runs")
    return out


def test_results_of_other_code_are_marked_and_rerun_when_asked(
    single, fewrel_like, tiny_encoder, capsys
):
    (run,) = (single / "runs").iterdir()
    stored = json.loads(run.read_text())
    stored["result"]["code"] = "0" * 64
    run.write_text(json.dumps(stored))
    assert one_run(fewrel_like, tiny_encoder, single) == 0
    assert "by other code" in capsys.readouterr().out
    assert (
        "**Made with other code than the present: finetune.**" in (single / "report.md").read_text()
    )
    assert rows(single)[0]["other_code"] == "1"
    assert one_run(fewrel_like, tiny_encoder, single, "--rerun") == 0
    assert "other code" not in (single / "report.md").read_text()
    assert json.loads(run.read_text())["result"]["code"] != "0" * 64


def test_a_default_that_has_changed_is_run_again(single, fewrel_like, tiny_encoder, capsys):
    (run,) = (single / "runs").iterdir()
    stored = json.loads(run.read_text())
    assert stored["result"]["settings"]["method"]["weight_decay"] == Settings().method.weight_decay
    stored["result"]["settings"]["method"]["weight_decay"] = 0.5
    run.write_text(json.dumps(stored))
    assert one_run(fewrel_like, tiny_encoder, single) == 0
    assert "task 1/3" in capsys.readouterr().out
    # A setting that did not exist then is no reason.
    stored = json.loads(run.read_text())
    del stored["result"]["settings"]["method"]["weight_decay"]
    for record in stored["result"]["records"]:
        del record["seconds"]["learning_processor"]
    run.write_text(json.dumps(stored))
    assert one_run(fewrel_like, tiny_encoder, single) == 0
    assert "finished before" in capsys.readouterr().out


def test_a_run_names_its_method_whatever_the_default_is(finished):
    for path in (finished / "runs").iterdir():
        changed = json.loads(path.read_text())["decides"]["changed"]
        assert path.name.startswith(f"{changed['method.name']}-order-")


def test_other_rows_or_settings_are_other_runs(single, fewrel_like, tiny_encoder):
    assert one_run(fewrel_like, tiny_encoder, single, "--train-per-relation", "5") == 0
    assert one_run(fewrel_like, tiny_encoder, single, "--seed", "7") == 0
    assert one_run(fewrel_like, tiny_encoder, single, "--set", "method.epoch1=1") == 0
    assert len(list((single / "runs").iterdir())) == 4


def test_tables_of_what_is_finished_without_running_the_rest(
    single, fewrel_like, tiny_encoder, finished, capsys
):
    before = scores(single)
    arguments = command(fewrel_like, tiny_encoder, single, "--finished-only")
    assert main(arguments) == 0
    assert "task 1/3" not in capsys.readouterr().out
    assert scores(single) == before
    assert {(r["method"], r["order"]) for r in rows(single)} == {("finetune", "0")}
    assert "Not finished: 1 of 4 runs are" in (single / "report.md").read_text()
    # Runs of another folder count as soon as they are there.
    for path in (finished / "runs").glob("cf-cre-order-*"):
        shutil.copy(path, single / "runs")
    assert main(arguments) == 0
    assert len({(r["method"], r["order"]) for r in rows(single)}) == 3


def test_tables_of_nothing_are_refused(single, fewrel_like, tiny_encoder, capsys):
    assert one_run(fewrel_like, tiny_encoder, single, "--finished-only", "--seed", "7") == 2
    assert "of 1 planned runs none is finished" in capsys.readouterr().err
    assert one_run(fewrel_like, tiny_encoder, single, "--finished-only", "--rerun") == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_damaged_beginning_is_begun_anew(single, fewrel_like, tiny_encoder, finished):
    (run,) = (single / "runs").iterdir()
    begun = single / "unfinished" / run.stem
    begun.mkdir(parents=True)
    (begun / "progress.json").write_text('{"code": ')
    run.unlink()
    assert one_run(fewrel_like, tiny_encoder, single) == 0
    assert scores(single)[run.name] == scores(finished)[run.name]


def test_two_benchmarks_do_not_share_a_folder(single, fewrel_like, tiny_encoder, capsys):
    from filelock import FileLock

    with FileLock(single / "benchmark.lock"):
        assert one_run(fewrel_like, tiny_encoder, single) == 2
    assert "another benchmark writes to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--methods", "nope"), "unknown method 'nope'"),
        (("--orders", "3-1"), "--orders takes"),
        (("--orders", "7"), "orders are 0 to 4"),
        (("--eval-per-relation", "5:5"), "A below B"),
        (("--tasks", "0"), "whole number from 1"),
        (("--tasks", "9"), "3 tasks of 2"),
        (("--default", "cf-cre", "--methods", "finetune"), "is not among"),
        (("--sweep", "tau=1"), "lambda1 and gamma1"),
        (("--sweep", "lambda1=2"), "from 0 to 1"),
        (("--eval", "test"), "no test.json"),
    ],
)
def test_wrong_options_say_what_is_accepted(
    more, words, fewrel_like, tiny_encoder, tmp_path, capsys
):
    assert main(command(fewrel_like, tiny_encoder, tmp_path / "x", *more)) == 2
    assert words in capsys.readouterr().err


def test_the_report_shows_no_connection(single, fewrel_like, tiny_encoder):
    secret = "sqlite:///pass-word.db"
    more = ("--tracking-uri", secret, "--set", f"ledger.url={secret}", f"--store={secret}")
    words = [str(w) for w in command(fewrel_like, tiny_encoder, single, *more)]
    words[words.index("--orders") + 1] = "0"
    words[words.index("--methods") + 1] = "finetune"
    done = subprocess.run(
        [sys.executable, "-m", "cfcre.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = (single / "report.md").read_text()
    assert "cfcre benchmark --dataset fewrel" in report
    assert "pass-word" not in report
