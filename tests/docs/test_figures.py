"""The figures of the pages are those of the committed benchmarks."""

from __future__ import annotations

from loading import ROOT, load


def test_the_page_of_jackpots_is_up_to_date() -> None:
    script = load("scripts/make_jackpot_docs.py")
    page = script.PAGE.read_text(encoding="utf-8")
    shown = {found.groups() for found in script.MARKED.finditer(page)}
    assert (
        shown
        == {(task, name) for task in script.TASKS for name in script.TABLES} - script.NOT_SHOWN
    )
    assert page == script.render(page), "run `python scripts/make_jackpot_docs.py`"


def test_the_page_of_measurements_is_up_to_date() -> None:
    script = load("scripts/make_measured_docs.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
    shown = []
    for place in script.FILLED.values():
        text = place.read_text(encoding="utf-8")
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
