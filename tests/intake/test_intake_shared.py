"""Real data sets beside the repository."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from cfcre.config import Settings
from cfcre.intake.folder import FolderStore
from cfcre.intake.formats import Selection, parse_rows
from cfcre.intake.inbox import discover
from cfcre.intake.ingest import ingest_batch
from cfcre.intake.submit import SubmitFile, submit_batch
from cfcre.intake.validation import validate_batch

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason="the folder shared/data is not there"),
]


def test_a_task_of_fewrel(folder: FolderStore, settings: Settings) -> None:
    orders = json.loads((DATA / "fewrel/task_orders.json").read_text())["orders"]
    relations = orders[0][0]
    files = [
        SubmitFile(DATA / "fewrel/train.json.gz", "train"),
        SubmitFile(DATA / "fewrel/val.json.gz", "test"),
    ]
    options = {"relations": relations, "limits": {"train": 60, "test": 20}}
    result = submit_batch(folder, files, stream="f", settings=settings, **options)  # type: ignore[arg-type]
    assert list(result.rows.values()) == [33_600, 11_200]
    (batch,) = discover(folder, settings=settings)
    raw = ingest_batch(folder, batch, settings=settings)
    done = validate_batch(raw, settings=settings, fits=lambda e: [True] * len(e))
    assert done.counts == {"read": 640, "accepted": 640, "quarantined": 0}
    # The oracle: the data set read by hand.
    source = json.loads(gzip.decompress((DATA / "fewrel/train.json.gz").read_bytes()))
    expected = []
    for relation in source:
        if relation in relations:
            for item in source[relation][:60]:
                h, t = item["h"][2][0], item["t"][2][0]
                words = item["tokens"]
                expected.append(
                    (" ".join(words[h[0] : h[-1] + 1]), " ".join(words[t[0] : t[-1] + 1]), relation)
                )
    found = [(e.head_text, e.tail_text, e.relation) for e in done.accepted if e.split == "train"]
    assert found == expected


@pytest.mark.parametrize(
    "name", ["conll04/conll04_dev", "scierc/scierc_dev", "ade/ade_split_0_test"]
)
def test_spert_documents(name: str, settings: Settings) -> None:
    data = (DATA / f"joint/{name}.json").read_bytes()
    format, rows, total = parse_rows(
        data, "f.json", format=None, declared=None, selection=Selection(),
        max_rows=10**6, max_bytes=10**9,
    )  # fmt: skip
    documents = json.loads(data)
    assert format == "spert"
    assert total == len(rows) == sum(len(d["relations"]) for d in documents)
    expected = []
    for document in documents:
        for relation in document["relations"]:
            spans = [document["entities"][relation[k]] for k in ("head", "tail")]
            texts = [" ".join(document["tokens"][s["start"] : s["end"]]) for s in spans]
            expected.append((*texts, relation["type"]))
    for row, triple in zip(rows, expected, strict=True):
        if row.example is None:  # real data has overlapping entities
            assert row.reading is not None
        else:
            assert (row.example.head_text, row.example.tail_text, row.relation) == triple
    assert sum(row.example is not None for row in rows) > 0.9 * total
