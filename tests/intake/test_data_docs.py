"""The Data Docs as one page, read by a parser as a browser reads them."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from cfcre.intake.data_docs import one_page


class Frames(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[dict[str, str | None]] = []
        self.other: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.frames.append(dict(attrs))
        elif tag in ("script", "img", "link", "a"):
            self.other.append(tag)


def site(folder: Path, pages: dict[str, str]) -> Path:
    for moment, (suite, text) in enumerate(pages.items()):
        page = folder / "validations" / suite / "__none__" / f"2026010{moment}T0" / "page.html"
        page.parent.mkdir(parents=True)
        page.write_text(text, encoding="utf-8")
    (folder / "index.html").write_text("<a href='validations/x.html'>x</a>", encoding="utf-8")
    return folder


def read(data: bytes) -> Frames:
    frames = Frames()
    frames.feed(data.decode("utf-8"))
    return frames


def test_each_result_is_there_as_it_was_in_order(tmp_path: Path) -> None:
    pages = {
        "rows": "<p title=\"a 'b'\">é &lt;b&gt; &amp;amp;</p>",
        "between rows": "<script>go()</script>",
        "batch": "<p>3</p>",
    }
    found = read(one_page(site(tmp_path, pages)))
    assert [frame["srcdoc"] for frame in found.frames] == list(pages.values())
    assert {frame["sandbox"] for frame in found.frames} == {"allow-scripts"}
    assert found.other == [], "nothing of a page gets out of its frame"


def test_a_name_is_text(tmp_path: Path) -> None:
    found = read(one_page(site(tmp_path, {"<script>x<": "<p></p>"})))
    assert found.other == []


def test_no_suite_ran(tmp_path: Path) -> None:
    page = one_page(tmp_path).decode()
    assert "no rows" in page
    assert read(page.encode()).frames == []
