"""The figures of docs/jackpot.md are those of the committed benchmarks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "make_jackpot_docs.py"


def test_the_tables_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_jackpot_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    shown = {found.groups() for found in script.MARKED.finditer(page)}
    assert shown == {(task, name) for task in script.TASKS for name in script.TABLES}
    assert page == script.render(page), "run `python scripts/make_jackpot_docs.py`"
