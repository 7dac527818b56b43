"""What the fault suite tried and what was lost, for the table in the documentation."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RESULTS = "RPMASK_FAULTS_RESULTS"  # where the counts are written, if anywhere
COUNTS = pytest.StashKey[dict[str, dict[str, int]]]()
TRIED = pytest.StashKey[int]()
LONGEST = pytest.StashKey[dict[str, float]]()


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Say how many faults the test tried, if it is not one."""

    def say(count: int) -> None:
        request.node.stash[TRIED] = count

    return say


@pytest.fixture
def longest(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Note how many seconds something took; the longest of each name is kept."""

    def say(what: str, seconds: float) -> None:
        known = request.config.stash.setdefault(LONGEST, {})
        known[what] = max(known.get(what, 0.0), round(seconds, 2))

    return say


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    over = report.when == "call" or not report.passed  # or it never came to be called
    if over and "faults" in item.path.parts:
        counts = item.config.stash.setdefault(COUNTS, {})
        module = (item.getparent(pytest.Module).obj.__doc__ or "").splitlines()[0]  # type: ignore[union-attr]
        row = counts.setdefault(
            f"{item.path.stem}: {module}", {"tried": 0, "lost": 0, "skipped": 0}
        )
        if report.skipped:
            row["skipped"] += 1
        else:
            row["tried"] += item.stash.get(TRIED, 1)
            row["lost"] += int(report.failed)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = os.environ.get(RESULTS)
    if target:
        document = {
            "form": os.environ.get("RPMASK_FAULTS", "short"),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "longest_seconds": session.config.stash.get(LONGEST, {}),
            "faults": session.config.stash.get(COUNTS, {}),
        }
        Path(target).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
