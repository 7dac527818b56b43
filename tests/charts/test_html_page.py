"""The page embeds everything it shows, has alternative texts, and escapes HTML in names."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from chart_records import FULL_RACE, pool_of, result

from rpmask import charts


class Reader(HTMLParser):
    """Collects what a browser would show: elements, pictures, alternative texts, and URLs to fetch."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pictures: list[bytes] = []
        self.fetched: list[str] = []
        self.spoken: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            given = value or ""
            if name == "alt":
                self.spoken.append(given)
            elif name == "src" and given.startswith("data:image/png;base64,"):
                self.pictures.append(base64.b64decode(given.partition(",")[2], validate=True))
            elif name in ("src", "href") and not given.startswith("#"):
                self.fetched.append(given)


def sample_page() -> str:
    levels = charts.levels([result(0.5, 0.8), result(0.9, 0.7)])
    race = charts.race(FULL_RACE, pool_of(5), winner=1)
    intro = "A **bold** word, <script>alert(1)</script>.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    pictures = [charts.draw("The race & its end", race), charts.draw("Levels", levels)]
    return charts.page("rte <93.75%>", intro, pictures)


def test_page_fetches_nothing_and_runs_nothing() -> None:
    seen = Reader(sample_page())
    assert seen.fetched == []
    assert "script" not in seen.tags
    assert "default-src 'none'" in sample_page()
    assert not re.search(r"url\((?!#)|@import", sample_page())


def test_page_shows_its_text_escaped() -> None:
    document = sample_page()
    assert "<title>rte &lt;93.75%&gt;</title>" in document
    assert "<strong>bold</strong>" in document
    assert "<td>1</td>" in document
    assert "&lt;script&gt;" in document
    assert "<figcaption>The race &amp; its end</figcaption>" in document


def test_page_has_alternative_texts() -> None:
    race, levels = Reader(sample_page()).spoken
    assert "Race of 5 masks" in race
    assert "winner: 0.3100" in race
    assert "0.7000 at 90%" in levels
    assert "dense 0.8000" in levels


def test_page_embeds_the_bytes_of_the_pictures() -> None:
    picture = charts.draw("Levels", charts.levels([result(0.5, 0.8), result(0.9, 0.7)]))
    width = int.from_bytes(picture.png[16:20], "big")
    assert width >= 900
    assert Reader(charts.page("Levels", "", [picture])).pictures == [picture.png]


def test_page_of_the_same_figures_is_the_same_text() -> None:
    assert sample_page() == sample_page()


def test_page_without_figures() -> None:
    assert "<figure>" not in charts.page("Nothing yet", "", [])
