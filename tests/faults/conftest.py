"""A nursery for commands, and one undisturbed road that disturbed ones are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.commanding import Nursery, nursery_in
from faults.folders import copied
from faults.tally import longest, pytest_runtest_makereport, pytest_sessionfinish, tried

__all__ = [
    "longest",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "tried",
]  # pytest looks for them here

# The shortest road that has all of the machinery: two levels, a race with somebody to stop, a pool of the
# control, another centre and a mask that Optuna was asked for.
ROAD = [
    *("run", "--task", "demo", "--levels", "0.8,0.9", "--k", "3", "--allocation", "uniform"),
    *("--train-rows", "64", "--selection-rows", "40", "--examples", "30"),
    *("--epochs", "1", "--level-epochs", "1", "--threads", "1", "--retain", "0.2"),
]


@dataclass(frozen=True)
class Walked:
    """A command that nothing disturbed: where it ran, what it printed, how much it did."""

    folder: Path
    answer: dict[str, Any]
    events: int


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery_in(tmp_path_factory.mktemp("nursery")) as ready:
        yield ready


@pytest.fixture(scope="session")
def fresh(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    """A database with nothing in it; making one takes longer than some roads."""
    folder = tmp_path_factory.mktemp("fresh")
    ended = nursery.run(["screen"], folder)
    assert ended.code == 2  # there is no pool yet
    assert ended.events is not None
    return Walked(folder, {}, ended.events)


@pytest.fixture(scope="session")
def undisturbed(
    nursery: Nursery, fresh: Walked, tmp_path_factory: pytest.TempPathFactory
) -> Walked:
    folder = copied(fresh.folder, tmp_path_factory.mktemp("undisturbed"))
    ended = nursery.run(ROAD, folder)
    assert ended.events is not None
    return Walked(folder, ended.answer, ended.events)
