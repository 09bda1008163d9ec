"""The page: parsed by a real parser, everything escaped, arcs that do not lie on each other."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcre.extraction.arcs import draw_arcs, groups
from cfcre.extraction.display import columns, visible
from cfcre.extraction.html import render_page
from cfcre.extraction.results import ExtractedEntity, ExtractedRelation, Extraction

VOID = {"meta", "br"}


class Parsed(HTMLParser):
    """Tags, attributes and text of a page; fails where tags are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        # The parser of the library gives an end tag for <path/> as well.
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            assert tag in {"path", "rect"}, tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def text_in(self, tag: str) -> str:
        return "".join(data for where, data in self.texts if tag in where)


def extraction(text: str, spans, relations=(), **more) -> Extraction:
    entities = tuple(
        ExtractedEntity(start, end, kind, 0.5, text[start:end]) for start, end, kind in spans
    )
    made = tuple(ExtractedRelation(h, t, name, 0.25, source) for h, t, name, source in relations)
    return Extraction(text, entities, made, more.get("windows", 1), more.get("unread", ()))


ADA = extraction(
    "Ada was born in Riga near Tunis.",
    [(0, 3, "Peop"), (16, 20, "Loc"), (26, 31, "Loc")],
    [(0, 1, "born in", "spans"), (0, 2, "lives in", "relations"), (2, 1, "near", "spans")],
)


def test_a_page_shows_text_entities_and_relations():
    page = Parsed(render_page([("doc-1", ADA)]))
    # The text itself, with the types beside their entities.
    assert page.text_in("p").count("was born in") == 1
    assert page.text_in("mark") == "AdaPeopRigaLocTunisLoc"
    assert page.text_in("td").startswith("Adaborn inRiga0.250span model")
    assert page.text_in("h2") == "doc-1"
    assert "1 text, 3 entities, 3 relations" in page.text_in("p")
    assert sum(tag == "svg" for tag, _ in page.tags) == 1


def test_nothing_runs_and_nothing_is_loaded():
    page = Parsed(render_page([("1", ADA)]))
    assert not {"script", "link", "img", "iframe", "object", "a"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href")]
    policy = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "url(" not in render_page([("1", ADA)]) and "@import" not in render_page([("1", ADA)])


EVIL = "<script>alert(1)</script> & \"quoted\" 'x' \x1b[31m \u202e </style> ]]> \ud83d {0} %s"


def test_everything_is_escaped():
    name = "</td><script>"
    found = extraction(
        f"{EVIL} and {EVIL}",
        [(0, 8, EVIL), (9, 14, name)],
        [(0, 1, EVIL, "spans"), (1, 0, name, "relations")],
    )
    page = Parsed(render_page([(EVIL, found)], title=EVIL))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert(1)" in page.text_in("p")
    render_page([(EVIL, found)]).encode("utf-8")
    for bad in ("\x1b", "\u202e"):
        assert bad not in "".join(data for _, data in page.texts)


@settings(max_examples=60, deadline=None)
@given(
    st.text(min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 8), st.text(min_size=1, max_size=5))),
    st.data(),
)
def test_any_extraction_is_a_well_formed_page(text, found, data):
    spans = sorted({(s, min(len(text), s + w)): k for s, w, k in found if s < len(text)}.items())
    entities = [(s, e, kind) for (s, e), kind in spans]
    relations = []
    if len(entities) > 1:
        ends = st.tuples(
            st.integers(0, len(entities) - 1),
            st.integers(0, len(entities) - 1),
            st.text(min_size=1, max_size=6),
            st.sampled_from(["spans", "relations"]),
        ).filter(lambda r: r[0] != r[1])
        relations = data.draw(st.lists(ends, max_size=5))
    made = extraction(text, entities, relations)
    page = Parsed(render_page([("", made)]))
    marks = [a for t, a in page.tags if t == "mark"]
    noted = sum(" (" in d for w, d in page.texts if w[-1:] == ("p",) and "Overlapping" in d)
    assert len(marks) + noted >= min(len(entities), 1)
    for group in groups(made):
        colour = {kind: 0 for _, _, kind in entities}
        ElementTree.fromstring(draw_arcs(made, group, colour))  # well-formed XML too


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", text)]


class TestArcs:
    def picture(self, made: Extraction) -> list[ElementTree.Element]:
        colour = {e.type: 0 for e in made.entities}
        return [ElementTree.fromstring(draw_arcs(made, g, colour)) for g in groups(made)]

    def test_entities_without_a_relation_are_in_no_picture(self):
        made = extraction("a b c", [(0, 1, "x"), (2, 3, "x"), (4, 5, "x")], [(0, 1, "r", "spans")])
        assert groups(made) == [[0, 1]]
        assert groups(extraction("a", [(0, 1, "x")])) == []

    def test_entities_that_nothing_connects_are_apart(self):
        spans = [(i, i + 1, "x") for i in range(0, 12, 2)]
        related = [(0, 2, "r", "spans"), (4, 2, "r", "spans"), (1, 3, "r", "spans")]
        assert groups(extraction("a b c d e f", spans, related)) == [[0, 2, 4], [1, 3]]

    def test_labels_of_arcs_never_lie_on_each_other(self):
        spans = [(i, i + 1, "x") for i in range(0, 12, 2)]
        related = [
            (h, t, f"a relation named {h} {t}", "spans")
            for h in range(6)
            for t in range(6)
            if h != t
        ]
        (svg,) = self.picture(extraction("a b c d e f", spans, related))
        boxes = []
        for arc in svg.iter("g"):
            if "arc" in arc.get("class", ""):
                rect = next(arc.iter("rect"))
                x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
                boxes.append((x, y, x + w, y + h))
        assert len(boxes) == 30
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
                assert apart, (a, b)
        width, height = float(svg.get("width")), float(svg.get("height"))
        shift, top = numbers(next(svg.iter("g")).get("transform"))
        for x0, y0, x1, y1 in boxes:
            assert x0 + shift >= 0 and x1 + shift <= width
            assert y0 + top >= 0 and y1 + top <= height

    def test_an_arrow_points_at_the_tail(self):
        for head, tail in ((0, 1), (1, 0)):
            made = extraction("a b", [(0, 1, "x"), (2, 3, "x")], [(head, tail, "r", "spans")])
            (svg,) = self.picture(made)
            line, arrow = (p.get("d") for p in svg.iter("path"))
            left, right = numbers(line)[0], float(re.search(r"H(\S+?)q", line)[1]) + 8
            tip = float(re.search(r"L(\S+) -1Z", arrow)[1])
            assert left < right
            assert tip == pytest.approx(left if tail == 0 else right)

    def test_far_apart_entities_are_drawn_near_each_other(self):
        text = "Ada " + "and so on " * 500 + "Riga"
        spans = [(0, 3, "x"), (len(text) - 4, len(text), "y")]
        (svg,) = self.picture(extraction(text, spans, [(0, 1, "born in", "spans")]))
        assert float(svg.get("width")) < 600
        assert "…" in "".join(svg.itertext())


class TestDisplay:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain", "plain"),
            ("a\0b\x7f", "a␀b␡"),
            ("a\tb\nc", "a\tb\nc"),
            ("\ud83d", "\ufffd"),
            ("\u202eabc", "\ufffdabc"),
            ("👩\u200d🚀", "👩\u200d🚀"),
        ],
    )
    def test_invisible_characters_are_shown(self, text, shown):
        assert visible(text) == shown

    def test_one_line(self):
        assert visible("a\tb\nc\u2028d", one_line=True) == "a b c d"

    def test_columns(self):
        assert [columns(t) for t in ("abc", "北京", "e\u0301", "", "😀")] == [3, 4, 1, 1, 2]


def test_notes():
    made = extraction("x" * 300, [], windows=3, unread=((0, 300),))
    page = Parsed(render_page([("", made)]))
    text = page.text_in("p")
    assert "Nothing was found." in text and "Read in 3 windows." in text and "[0, 300)" in text


def test_overlapping_entities_are_named():
    made = extraction("New York City", [(0, 8, "Loc"), (0, 13, "Loc"), (4, 8, "Org")])
    page = Parsed(render_page([("", made)]))
    assert page.text_in("mark") == "New York CityLoc"
    assert "Overlapping with these: New York (Loc, 0.500), York (Org, 0.500)" in page.text_in("p")
