"""Readers of the benchmark's data: what is read, and what is refused in which words."""

from __future__ import annotations

import json

import pytest
from bench_cases import RELATIONS, fewrel_row

from cfcre.benchmarking.dataset import Selection, make_stream
from cfcre.benchmarking.fewrel import FewRel
from cfcre.benchmarking.loading import load_dataset
from cfcre.benchmarking.orders import SEEDS
from cfcre.benchmarking.own_rows import OwnRows
from cfcre.benchmarking.relation_lists import TACRED_RELATIONS
from cfcre.benchmarking.tacred import Tacred
from cfcre.data.files import write_examples
from cfcre.data.splits import assign_split
from cfcre.errors import ConfigurationError, DataError


class TestFewRel:
    def test_rows_are_those_that_were_written(self, fewrel_like, relation_rows):
        data = FewRel(fewrel_like)
        rows = data.rows(0, "validation")
        for i, relation in enumerate(RELATIONS):
            written = relation_rows([relation], 18, seed=i)
            read = [*rows.train[relation], *rows.held_out[relation]]
            assert [e.content_key for e in read] == [e.content_key for e in written]
        assert set(data.files) == {"train.json.gz", "val.json"}
        assert "not those of the literature" in data.notes[0]

    def test_test_rows_that_are_not_there(self, fewrel_like):
        with pytest.raises(ConfigurationError, match=r"no test\.json.*--eval validation"):
            FewRel(fewrel_like).rows(0, "test")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"h": None}, "as in FewRel"),
            ({"h": ["x", None, [[99]]]}, "token span"),
            ({"tokens": "text"}, "not a list of texts"),
        ],
    )
    def test_a_wrong_row_is_named(self, tmp_path, relation_rows, change, words):
        row = {**fewrel_row(relation_rows(["owns"], 1)[0]), **change}
        (tmp_path / "train.json").write_text(json.dumps({"owns": [row]}))
        with pytest.raises(DataError, match=rf"train\.json: owns row 0.*{words}"):
            FewRel(tmp_path)

    def test_overlapping_entities_are_left_out_and_counted(self, tmp_path, relation_rows):
        rows = [fewrel_row(e) for e in relation_rows(["owns"], 3)]
        rows[1] |= {"t": ["x", None, [[1]]], "h": ["x", None, [[1, 2]]]}
        (tmp_path / "train.json").write_text(json.dumps({"owns": rows}))
        data = FewRel(tmp_path)
        assert data.notes[0] == "train.json: 1 rows whose head and tail overlap are left out."
        (tmp_path / "val.json").write_text(json.dumps({"owns": rows}))
        assert len(data.rows(0, "validation").train["owns"]) == 2

    def test_files_of_other_relations(self, tmp_path, relation_rows):
        row = fewrel_row(relation_rows(["owns"], 1)[0])
        (tmp_path / "train.json").write_text(json.dumps({"owns": [row]}))
        (tmp_path / "val.json").write_text(json.dumps({"wrote": [row]}))
        with pytest.raises(DataError, match="only one of the files"):
            FewRel(tmp_path).rows(0, "validation")

    def test_a_damaged_file(self, tmp_path):
        (tmp_path / "train.json.gz").write_bytes(b"\x1f\x8bnot gzip")
        with pytest.raises(DataError, match="not a whole gzip file"):
            FewRel(tmp_path)

    @pytest.mark.shared
    def test_the_real_data_make_ten_tasks_of_eight(self, shared_data):
        data = load_dataset("fewrel", shared_data / "fewrel")
        assert not data.notes
        stream = make_stream(data, 0, Selection(train_rows=2, stop_held_out=1))
        written = json.loads((shared_data / "fewrel" / "task_orders.json").read_text())
        assert [list(t.relations) for t in stream.tasks] == written["orders"][0]
        assert [len(t.train) for t in stream.tasks] == [16] * 10


class TestSelection:
    def test_slices_and_digest(self, fewrel_like):
        data = FewRel(fewrel_like)
        whole = make_stream(data, 0, Selection(per_task=2))
        part = make_stream(data, 0, Selection(per_task=2, train_rows=3, tasks=2))
        held = make_stream(data, 0, Selection(per_task=2, first_held_out=2, stop_held_out=5))
        assert [len(t.train) for t in part.tasks] == [6, 6]
        assert part.tasks[0].train[:3] == whole.tasks[0].train[:3]
        assert held.tasks[0].held_out[:3] == whole.tasks[0].held_out[2:5]
        assert len({whole.digest, part.digest, held.digest}) == 3
        assert make_stream(FewRel(fewrel_like), 0, Selection(per_task=2)).digest == whole.digest

    def test_what_cannot_be(self, fewrel_like):
        data = FewRel(fewrel_like)
        with pytest.raises(ConfigurationError, match="3 tasks of 2"):
            make_stream(data, 0, Selection(per_task=2, tasks=4))
        with pytest.raises(DataError, match="no validation row"):
            make_stream(data, 0, Selection(per_task=2, first_held_out=50))


def ldc_row(example, relation):
    """A row as in LDC2018T24: ends inclusive."""
    row = fewrel_row(example)
    (head,), (tail,) = row["h"][2], row["t"][2]
    return {
        "id": f"{relation}-{example.content_key[:8]}",
        "relation": relation,
        "token": row["tokens"],
        "subj_start": head[0],
        "subj_end": head[-1],
        "obj_start": tail[0],
        "obj_end": tail[-1],
        "subj_type": "PERSON",
    }


@pytest.fixture
def ldc(tmp_path, relation_rows):
    """A folder like LDC's: 12 rows of each relation, 450 of one, and the labels left out."""
    pool = relation_rows(["owns"], 450)
    rows = [ldc_row(e, r) for r in TACRED_RELATIONS for e in pool[:12]]
    rows += [ldc_row(e, "per:title") for e in pool[12:]]
    rows += [ldc_row(e, "no_relation") for e in pool[:7]]
    rows += [ldc_row(pool[0], "per:country_of_death")]
    parts = {"train.json": rows[:500], "dev.json": rows[500:600], "test.json": rows[600:]}
    for name, part in parts.items():
        (tmp_path / name).write_text(json.dumps(part))
    return tmp_path, {name: len(part) for name, part in parts.items()}


class TestTacred:
    def test_the_split_rule(self, ldc):
        folder, counts = ldc
        data = Tacred(folder, counts)
        for order in range(len(SEEDS)):
            tested = data.rows(order, "test")
            assert len(tested.train["per:title"]) == 320
            assert len(tested.held_out["per:title"]) == 40
            assert len(tested.held_out["per:age"]) == 2  # 12 // 5
            assert len(tested.train["per:age"]) == 10
            validated = data.rows(order, "validation")
            assert len(validated.held_out["per:title"]) == 40
            assert len(validated.held_out["per:age"]) == 2  # 10 // 5
            for relation in TACRED_RELATIONS:
                test = {e.id for e in tested.held_out[relation]}
                assert not test & {e.id for e in tested.train[relation]}
                # What is tuned on is neither trained on nor tested.
                tuned = {e.id for e in validated.held_out[relation]}
                assert not tuned & (test | {e.id for e in validated.train[relation]})
                assert not test & {e.id for e in validated.train[relation]}
        assert data.rows(0, "test").held_out != data.rows(1, "test").held_out
        assert [len(t.relations) for t in make_stream(data, 0, Selection()).tasks] == [4] * 10

    def test_inclusive_ends(self, ldc):
        rows = Tacred(*ldc).rows(0, "test").train["per:title"]
        assert {e.head_text for e in rows} <= {
            "ada", "boris", "carla", "dmitri", "elena", "farid", "greta", "hugo"
        }  # fmt: skip

    def test_a_release_that_is_not_whole(self, ldc):
        with pytest.raises(DataError, match=r"train\.json has 500 rows.*LDC2018T24 has 68124"):
            load_dataset("tacred", ldc[0])

    def test_another_data_set_of_that_form(self, ldc):
        folder, counts = ldc
        rows = json.loads((folder / "dev.json").read_text())
        rows[3]["relation"] = "per:identity"
        (folder / "dev.json").write_text(json.dumps(rows))
        with pytest.raises(DataError, match=r"dev\.json: row 3.*per:identity.*Re-TACRED"):
            Tacred(folder, counts)

    def test_relations_without_rows(self, ldc):
        folder, _ = ldc
        for name in ("train.json", "dev.json", "test.json"):
            rows = json.loads((folder / name).read_text())
            kept = [r for r in rows if r["relation"] != "per:age"]
            (folder / name).write_text(json.dumps(kept))
        with pytest.raises(DataError, match="fewer than 5 rows, first 'per:age'"):
            Tacred(folder, None)

    def test_a_file_is_missing(self, ldc):
        folder, counts = ldc
        (folder / "dev.json").unlink()
        with pytest.raises(ConfigurationError, match=r"no dev\.json.*LDC2018T24"):
            Tacred(folder, counts)


class TestOwnRows:
    def test_split_by_hash_and_declared(self, tmp_path, relation_rows):
        rows = relation_rows(RELATIONS, 30)
        write_examples(tmp_path / "all.jsonl", rows)
        data = OwnRows(tmp_path / "all.jsonl")
        for split in ("train", "validation", "test"):
            expected = {e.content_key for e in rows if assign_split(e).split == split}
            got = data.rows(0, "test").train if split == "train" else data.rows(0, split).held_out
            assert {e.content_key for part in got.values() for e in part} == expected
        assert (data.name, data.per_task, data.relations) == ("all", 1, tuple(sorted(RELATIONS)))

    def test_a_folder_of_files_with_names_of_splits(self, tmp_path, relation_rows):
        rows = relation_rows(["owns", "wrote"], 6)
        write_examples(tmp_path / "train.jsonl", rows[:4] + rows[6:10])
        write_examples(tmp_path / "dev.jsonl", rows[4:6] + rows[10:])
        with (tmp_path / "train.jsonl").open("a") as stream:
            token = {"tokens": ["a", "owns", "b"], "head": [0, 1], "tail": [2, 3]}
            stream.write(json.dumps({**token, "relation": "owns"}) + "\n\n")
            stream.write(json.dumps(rows[0].to_json()) + "\n")
        data = OwnRows(tmp_path)
        got = data.rows(0, "validation")
        assert {r: len(v) for r, v in got.train.items()} == {"owns": 5, "wrote": 4}
        assert {r: len(v) for r, v in got.held_out.items()} == {"owns": 2, "wrote": 2}
        assert "1 repeated rows" in data.notes[1]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ([], "must be an object"),
            ({"text": "a b", "relation": ""}, "relation is missing"),
            ({"relation": "r"}, "neither text nor tokens"),
            ({"text": "a b", "relation": "r", "head": {"start": 0, "end": 9}}, "within the 3"),
            ({"text": "a b", "relation": "r", "head": {"start": True, "end": 2}}, "within the 3"),
            ({"text": "a b", "relation": "r", "split": "x"}, "none of train"),
            ({"tokens": ["a"], "relation": "r", "head": [0, 1], "tail": [0]}, "not a span"),
        ],
    )
    def test_a_wrong_row_is_named(self, tmp_path, row, words):
        (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(DataError, match=rf"x\.jsonl: line 1.*{words}"):
            OwnRows(tmp_path)

    def test_two_labels_for_one_sentence(self, tmp_path, relation_rows):
        (row,) = relation_rows(["owns"], 1)
        write_examples(tmp_path / "x.jsonl", [row, type(row)(row.text, row.head, row.tail, "b")])
        with pytest.raises(DataError, match=r"line 2.*'owns' before.*'b' here"):
            OwnRows(tmp_path)

    def test_names_that_lead_nowhere(self, tmp_path):
        with pytest.raises(ConfigurationError, match="takes fewrel, tacred"):
            load_dataset(str(tmp_path / "nothing"), None)
        with pytest.raises(ConfigurationError, match="needs --data DIR"):
            load_dataset("fewrel", None)
        with pytest.raises(ConfigurationError, match="holds no rows"):
            load_dataset(str(tmp_path), None)
