"""One undisturbed pipeline, which the disturbed ones are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import NEW_STORE
from faults.commanding import run
from faults.tally import longest, pytest_runtest_makereport, pytest_sessionfinish, tried
from folders import copied, made_once

__all__ = [
    "longest",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "tried",
]  # pytest looks for them here

# The shortest pipeline that has all of the machinery: two levels, a race that stops a candidate, a pool of
# the control, another centre and a mask that Optuna proposed.
ROAD = [
    *("run", "--task", "demo", "--levels", "0.8,0.9", "--k", "3", "--allocation", "uniform"),
    *("--train-rows", "64", "--selection-rows", "40", "--examples", "30"),
    *("--calibration-rows", "16"),
    *("--epochs", "1", "--level-epochs", "1", "--threads", "1", "--retain", "0.2"),
]


@dataclass(frozen=True)
class Walked:
    """A command that nothing disturbed: its folder, what it printed, how many events it counted."""

    folder: Path
    answer: dict[str, Any]
    events: int


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """A store with nothing in it, made by MLflow's migrations."""

    def make(folder: Path) -> int | None:
        ended = run(NEW_STORE, folder, migrations=True)
        assert ended.code == 2  # there is no champion yet
        return ended.events

    folder, events = made_once(tmp_path_factory, "fresh", make)
    return Walked(folder, {}, events)


@pytest.fixture(scope="session")
def undisturbed(fresh: Walked, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    def make(folder: Path) -> tuple[dict[str, Any], int | None]:
        ended = run(ROAD, copied(fresh.folder, folder))
        return ended.answer, ended.events

    folder, (answer, events) = made_once(tmp_path_factory, "undisturbed", make)
    return Walked(folder, answer, events)
