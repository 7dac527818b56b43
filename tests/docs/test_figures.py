"""The figures of the pages are those of the committed benchmarks."""

from __future__ import annotations

from loading import ROOT, load


def test_the_page_of_jackpots_shows_every_table() -> None:
    script = load("scripts/make_measured_docs.py")
    tables = script.jackpot_tables
    shown = set(script.MARKED.findall(script.FILLED["jackpot"].read_text(encoding="utf-8")))
    assert (
        shown
        == {(task, name) for task in tables.TASKS for name in tables.TABLES} - tables.NOT_SHOWN
    )


def test_the_page_of_measurements_is_up_to_date() -> None:
    script = load("scripts/make_measured_docs.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
    shown = []
    for page, place in script.FILLED.items():
        text = place.read_text(encoding="utf-8")
        if page != "jackpot":
            shown += [name for _, name in script.MARKED.findall(text)]
        assert text == script.filled(text)
    assert shown == [
        "pruned",
        "pools",
        "streamed",
        "packed",
        "runtimes",
        "decoding",
        "compact",
        "simulated",
        "rungs",
        "check",
    ]


def test_the_page_of_results_is_up_to_date() -> None:
    script = load("benchmarks/study/page.py")
    rows = script.load()
    for name, page in (("results.md", script.page), ("results-appendix.md", script.appendix)):
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page(rows), name
    text = script.README.read_text(encoding="utf-8")
    assert "| 93.75% |" in text
    assert text == script.filled(text, rows)
