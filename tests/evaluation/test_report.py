"""The report read back as a browser would: what it says, and that nothing in it can act."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cfcre.evaluation.report import render_report, write_report

NASTY = "<script>alert(1)</script>\"' onload=x & {{ 7 * 7 }}"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """Elements, attributes and text of a page, tables as rows of cell texts."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        if tag in ("dt", "dd"):
            self.text += " "  # blocks of their own in a browser

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def evaluation(**changes: Any) -> dict[str, Any]:
    return {
        "task": 2,
        "relations_seen": 3,
        "task_relations": ["new one"],
        "tasks": [{"task": k, "batch": "ab", "batch_name": f"b{k}", "rows": 30} for k in (1, 2)],
        "accuracy_matrix": [[0.95], [0.9, 0.8]],
        "accuracy": [0.9, 0.8],
        "average_accuracy": 0.85,
        "overall_accuracy": 0.86,
        "forgetting": 0.05,
        "per_relation": {
            "founded by": {"accuracy": 0.5, "support": 20},
            NASTY: {"accuracy": 1.0, "support": 10},
            "new one": {"accuracy": 0.8, "support": 30},
        },
        "champion": {"version": "4", "average_accuracy": 0.6, "per_relation": {}},
        "relation_changes": [
            {
                "relation": "founded by",
                "champion": 0.75,
                "candidate": 0.5,
                "change": -0.25,
                "support": 20,
            },
            {"relation": NASTY, "champion": 0.9, "candidate": 1.0, "change": 0.1, "support": 10},
        ],
        "negative_flips": {"count": 3, "rows": 60, "rate": 0.05},
        "similar_confusions": [
            {"true": NASTY, "predicted": "founded by", "count": 4, "similarity": 0.812},
            {"true": "a", "predicted": "b", "count": 1, "similarity": None},
        ],
        "similarity": {"relations": ["founded by", NASTY, "new one"], "matrix": []},
        **changes,
    }


PARTS: dict[str, Any] = {
    "verdict": {
        "verdict": "hold",
        "reason": NASTY,
        "checks": [
            {
                "name": "mean_forgetting",
                "value": 0.3,
                "limit": 0.25,
                "passed": False,
                "detail": NASTY,
            },
            {"name": "my_check", "value": None, "limit": 0.5, "passed": True, "detail": ""},
        ],
    },
    "rows": {"read": 420, "accepted": 408, "quarantined": 12},
    "quarantined_by_reason": {"invalid_json": 3, "duplicate": 9},
    "stage_seconds": {"ingest": 1.25, "train_task": 30.0},
    "lineage": {"Batch": NASTY, "Keys": ["inbox/a", "inbox/b"], "Parent": None, "Task": 2},
}


@pytest.fixture
def figure(tmp_path: Path) -> Path:
    path = tmp_path / "accuracy_matrix.png"
    path.write_bytes(PIXEL)
    return path


def full(figure: Path) -> Page:
    return Page(render_report(evaluation(), figures={"accuracy_matrix": figure}, **PARTS))


def test_names_with_markup_are_text(figure: Path) -> None:
    html = render_report(evaluation(), title=NASTY, figures={NASTY: figure}, **PARTS)
    page = Page(html)
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(NASTY) >= 6  # shown as it is wherever it is shown
    assert "49" not in page.text.replace("0.49", "")  # the template runs once
    assert not page.open


def test_nothing_is_loaded_from_anywhere(figure: Path) -> None:
    page = full(figure)
    assert not {"link", "iframe", "object", "embed", "script", "a", "form"} & set(page.tags)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]
    assert len(sources) == 1
    assert base64.b64decode(sources[0].removeprefix("data:image/png;base64,")) == PIXEL
    policy = next(v for _, n, v in page.attributes if n == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    html = render_report(evaluation(), **PARTS)
    assert "@import" not in html
    assert not re.findall(r"url\(|https?://", html)


def test_the_verdict_and_every_check_are_said(figure: Path) -> None:
    page = full(figure)
    assert "Held: the champion stays" in page.text
    assert ["Mean forgetting", "✗ failed", "30.0 %", "25.0 %", NASTY] in page.rows
    assert ["my_check", "✓ passed", "–", "50.0 %", ""] in page.rows


def test_the_numbers(figure: Path) -> None:
    page = full(figure)
    assert ["task 1", "95.0 %", "", "95.0 %"] in page.rows
    assert ["task 2", "90.0 %", "80.0 %", "85.0 %"] in page.rows
    assert ["1", "founded by", "20", "50.0 %", "75.0 %", "−25.0"] in page.rows
    assert ["2", NASTY, "10", "100.0 %", "90.0 %", "+10.0"] in page.rows
    assert ["3", "new one new", "30", "80.0 %", "–", "–"] in page.rows
    assert [NASTY, "founded by", "4", "0.81"] in page.rows
    assert ["a", "b", "1", "–"] in page.rows
    assert ["duplicate", "9"] in page.rows
    assert page.rows.index(["duplicate", "9"]) < page.rows.index(["invalid_json", "3"])
    assert ["all stages", "31.2 s", ""] in page.rows or ["all stages", "31.3 s", ""] in page.rows
    text = " ".join(page.text.split())
    for part in ("read 420", "accepted 408", "quarantined 12", "3 of 60", "inbox/a, inbox/b"):
        assert part in text
    assert "Parent" not in text


def test_it_can_be_read_without_seeing_it(figure: Path) -> None:
    page = full(figure)
    assert ("html", "lang", "en") in page.attributes
    assert all(value for tag, name, value in page.attributes if (tag, name) == ("img", "alt"))
    headers = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(headers) == page.tags.count("th")
    ids = {value for _, name, value in page.attributes if name == "id"}
    for _, name, value in page.attributes:
        if name in ("aria-labelledby", "aria-describedby"):
            assert value in ids


def test_a_first_task_has_no_champion_columns() -> None:
    first = evaluation(champion=None, relation_changes=[], negative_flips={"count": 0, "rows": 0})
    page = Page(render_report(first))
    assert ["1", "founded by", "20", "50.0 %"] in page.rows
    assert "Right before" not in page.text
    assert "Not judged" in page.text


def test_numbers_that_do_not_exist_are_dashes() -> None:
    broken = evaluation(
        average_accuracy=float("nan"), forgetting=None, accuracy_matrix=[[None], [0.5, None]]
    )
    page = Page(render_report(broken))
    assert "nan" not in page.text.lower()
    assert ["task 1", "–", "", "–"] in page.rows
    assert ["task 2", "50.0 %", "–", "–"] in page.rows


def test_next_to_nothing_still_makes_a_page() -> None:
    page = Page(render_report({}))
    assert "Summary" in page.text
    assert not page.open


def test_a_file_is_written_whole_whatever_the_text(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", evaluation(), verdict="promote", title="lone \ud800")
    assert "lone ?" in path.read_bytes().decode("utf-8")
    assert "Promoted" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
