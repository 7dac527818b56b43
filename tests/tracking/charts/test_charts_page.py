"""The page holds everything itself, reads aloud, and takes nobody's words for markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from chart_records import FULL_RACE, pool_of, result

from rpmask.tracking import charts


class Reader(HTMLParser):
    """Collects what a browser would see: opened elements, ids, and anything it would fetch."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.spoken: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "aria-label":
                self.spoken.append(value or "")
            elif name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.fetched.append(value or "")


def sample_page() -> str:
    levels = charts.levels([result(0.5, 0.8), result(0.9, 0.7)])
    race = charts.race(FULL_RACE, pool_of(5), winner=1)
    intro = "A **bold** word, <script>alert(1)</script>.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    return charts.page("rte <93.75 %>", intro, [("The race & its end", race), ("Levels", levels)])


def test_page_fetches_nothing_and_runs_nothing() -> None:
    seen = Reader(sample_page())
    assert seen.fetched == []
    assert "script" not in seen.tags
    assert "default-src 'none'" in sample_page()
    assert not re.search(r"url\((?!#)|@import", sample_page())


def test_page_shows_its_words() -> None:
    document = sample_page()
    assert "<title>rte &lt;93.75 %&gt;</title>" in document
    assert "<strong>bold</strong>" in document
    assert "<td>1</td>" in document
    assert "&lt;script&gt;" in document
    assert "<figcaption>The race &amp; its end</figcaption>" in document


def test_page_reads_the_charts_aloud() -> None:
    race, levels = Reader(sample_page()).spoken
    assert "Race of 5 masks" in race
    assert "winner: 0.3100" in race
    assert "0.7000 at 90 %" in levels
    assert "dense 0.8000" in levels


def test_page_ids_are_unique_and_every_reference_is_met() -> None:
    document = sample_page()
    ids = Reader(document).ids
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="#|url\(#)([^")]+)', document)
    assert referred
    assert set(referred) <= set(ids)


def test_page_drawings_are_well_formed_keep_their_text_and_scale() -> None:
    drawings = re.findall(r"<svg.*?</svg>", sample_page(), flags=re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
    assert "training step" in drawings[0]


def test_page_of_the_same_figures_is_the_same_text() -> None:
    assert sample_page() == sample_page()


def test_page_without_figures() -> None:
    assert "<figure>" not in charts.page("Nothing yet", "", [])
