"""One stream fed with everything that can be wrong: rows are accounted for, good ones learned."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from local_pipeline import make_home

pytestmark = [pytest.mark.slow]

#: Texts that must be learned as they are: a head, what stands between, a tail.
HOSTILE = [
    ("ada", " [E11] owns [E22] [SEP] ", "riga"),
    ("ada", " <script>alert(1)</script> & owns ", "riga"),
    ("ada", " owns\x00 ", "riga"),
    ("ada", " مالك owns \u202e ", "riga"),
    ("ada 🧑‍🚀", " owns 👍🏽 ", "riga 🏙️"),
    ("阿达", " 拥有 owns ", "里加"),
    ("ada", " owns \u2028 new line ", "riga"),
]


def text_row(head: str, middle: str, tail: str, relation: str = "owns", **more: Any) -> dict:
    text = head + middle + tail
    return {
        "text": text,
        "head": {"start": 0, "end": len(head)},
        "tail": {"start": len(text) - len(tail), "end": len(text)},
        "relation": relation,
        **more,
    }


def bad_lines() -> list[tuple[str, bytes]]:
    """Reason and line, for every reason a row can have by itself or against its neighbours."""
    good = text_row("ada", " owns the old house in ", "riga")
    conflict = text_row("ada", " has an interest in ", "riga")

    def line(row: Any) -> bytes:
        return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def changed(**values: Any) -> bytes:
        return line({**good, "id": "x", **values})

    return [
        ("invalid_json", b'{"text": "ada owns'),
        ("not_an_object", b'["ada", "riga"]'),
        ("missing_field", line({k: v for k, v in good.items() if k != "tail"})),
        ("wrong_type", changed(text=7)),
        ("wrong_type", changed(head={"start": "0", "end": 3})),
        ("invalid_encoding", b'{"text": "ada \xff\xfe owns riga"}'),
        ("span_out_of_range", changed(tail={"start": 20, "end": 999})),
        ("span_out_of_range", changed(head={"start": -3, "end": 3})),
        ("span_empty", changed(head={"start": 2, "end": 2})),
        ("span_inverted", changed(head={"start": 3, "end": 0})),
        ("spans_overlap", changed(tail={"start": 1, "end": 6})),
        ("too_long_for_encoder", line(text_row("ada", " owns" * 90 + " ", "riga"))),
        ("text_too_long", line(text_row("ada", " owns" + " x" * 11000, "riga"))),
        ("empty_relation", changed(relation="")),
        ("no_relation_label", changed(relation="no_relation")),
        ("invalid_split", changed(split="dev")),
        ("lone_surrogate", json.dumps(text_row("ada", " \ud800 owns ", "riga")).encode()),
        ("conflicting_label", line(conflict)),
        ("conflicting_label", line({**conflict, "relation": "wrote"})),
        ("accepted", line(good)),
        ("duplicate", changed()),
    ]


def test_every_row_fed_is_accounted_for(
    tmp_path: Path, tiny_encoder: Path, relation_rows: Any, record_property: Any
) -> None:
    home = make_home(tmp_path / "home", tiny_encoder)
    rows = relation_rows(["owns", "wrote"], 30, seed=5)
    hostile = [text_row(*parts, split="train") for parts in HOSTILE]
    lines = [json.dumps(r.to_json()).encode() for r in rows]
    lines += [json.dumps(r, ensure_ascii=False).encode("utf-8") for r in hostile]
    bad = bad_lines()
    lines += [line for _, line in bad]
    batch = tmp_path / "first.jsonl"
    batch.write_bytes(b"\n".join(lines) + b"\n")
    home.run("submit", str(batch), "--stream", "s", "--sequence", "1")

    # Batches that are wrong as a whole, dropped as an engineer would drop them.
    inbox = home.path / "store" / "inbox" / "s"
    (inbox / "cut.jsonl.gz").write_bytes(gzip.compress(batch.read_bytes())[:-9])
    (inbox / "notes.docx").write_bytes(b"PK not a batch")
    (inbox / "few.jsonl").write_bytes(b"\n".join(lines[:3]) + b"\n")
    for name, manifest in {
        "broken": b"{not json",
        "outside": manifest_of("outside", "../../../../secret.jsonl", b"x"),
        "changed": manifest_of("changed", "rows.jsonl", b"other content"),
    }.items():
        (inbox / name).mkdir()
        (inbox / name / "rows.jsonl").write_bytes(batch.read_bytes() + b"\n")
        (inbox / name / "manifest.json").write_bytes(manifest)
    home.run("watch", "--until-idle")
    second = tmp_path / "second.jsonl"
    again = [r for r in rows if split_of(home, r) == "test"][:3]
    more = relation_rows(["founded", "born in"], 20, seed=6)
    second.write_text("".join(json.dumps(r.to_json()) + "\n" for r in [*more, *again]))
    home.run("submit", str(second), "--stream", "s")
    home.run("watch", "--until-idle")

    tasks = home.tasks("s")
    learned = [t for t in tasks if t["task"] is not None]
    assert [t["state"] for t in learned] == ["promoted", "promoted"]
    expected = Counter(reason for reason, _ in bad if reason != "accepted")
    shown = home.run("quarantine", "show", learned[0]["batch"], "--json").stdout.splitlines()
    assert Counter(json.loads(line)["reason"] for line in shown) == expected
    assert learned[0]["rows"] == {
        "read": len(lines),
        "accepted": len(rows) + len(hostile) + 1,
        "quarantined": expected.total(),
    }
    assert learned[1]["rows"] == {"read": 43, "accepted": 40, "quarantined": 3}
    fed = 0
    for task in tasks:
        counts = task["rows"]
        if counts["read"] is not None:
            fed += counts["read"]
            assert counts["accepted"] + counts["quarantined"] == counts["read"], task
    rejected = {t["batch_name"]: t["reason"] for t in tasks if t["state"] == "rejected"}
    assert rejected == {
        "cut.jsonl.gz": "truncated_gzip",
        "notes.docx": "unknown_format",
        "few.jsonl": "too_few_rows",
        "broken": "manifest_invalid",
        "outside": "manifest_key_outside",
        "changed": "checksum_mismatch",
    }
    assert not [p for p in inbox.rglob("*") if p.is_file()], "all are moved aside with a reason"
    record_property("rows fed", fed)
    print(f"rows fed: {fed}, batches dropped: {len(tasks)}")

    # What was hostile was learned as it was written: the stored training rows hold it unchanged.
    stored = home.path / "store" / "tasks" / "s" / learned[0]["batch"] / "train.jsonl"
    texts = {json.loads(x)["text"] for x in stored.read_bytes().decode().split("\n") if x}
    assert {row["text"] for row in hostile} <= texts


def manifest_of(batch: str, path: str, content: bytes) -> bytes:
    import hashlib

    entry = {
        "path": path,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "rows": None,
        "split": None,
        "format": None,
    }
    return json.dumps(
        {
            "version": 1,
            "stream": "s",
            "batch": batch,
            "files": [entry],
            "sequence": None,
            "relations": None,
            "max_per_relation": None,
            "descriptions": {},
            "submitted_at": "2026-01-01T00:00:00+00:00",
        }
    ).encode()


def split_of(home: Any, row: Any) -> str | None:
    from cfcre.data.splits import assign_split

    return assign_split(row).split
