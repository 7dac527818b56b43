"""The engines of this machine: every item once, whatever happens to the processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from workers import CannotBeBuilt, DiesOfOne, DiesOnce, Double, Refuses

from rpmask.engines.local import InProcess, Processes
from rpmask.errors import RpmaskError, RunFailed


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_once_and_none_taken_early(workers: int) -> None:
    engine = InProcess(Double) if workers == 1 else Processes(Double, workers)
    taken = []

    def items() -> Iterator[int]:
        for item in range(6):
            taken.append(item)
            yield item

    try:
        found = []
        for result in engine.map(items()):
            found.append(result)
            # What is not being worked on is still where it came from.
            assert len(taken) <= len(found) + (0 if workers == 1 else workers)
        assert sorted(found) == [0, 2, 4, 6, 8, 10]
        assert list(engine.map([])) == []
    finally:
        engine.close()


def test_the_item_of_a_killed_process_is_given_out_again(tmp_path: Path) -> None:
    engine: Processes[int, int] = Processes(partial(DiesOnce, tmp_path), 2)
    try:
        assert sorted(engine.map(range(5))) == [0, 2, 4, 6, 8]
        assert (tmp_path / "died").exists()
    finally:
        engine.close()


def test_an_item_that_kills_every_process_ends_the_work() -> None:
    engine: Processes[int, int] = Processes(DiesOfOne, 1)
    try:
        with pytest.raises(RunFailed, match="4 workers died of the same candidate"):
            list(engine.map(range(3)))
    finally:
        engine.close()


@pytest.mark.parametrize(("factory", "says"), [(Refuses, "doubled"), (CannotBeBuilt, "no worker")])
def test_an_error_arrives_whole(factory: Any, says: str) -> None:
    engine: Processes[int, int] = Processes(factory, 1)
    try:
        with pytest.raises(RpmaskError, match=says) as caught:
            list(engine.map([1]))
        assert caught.value.hint.startswith("Try another")
    finally:
        engine.close()


class Environment:
    def __call__(self, name: str) -> str | None:
        import os
        import time

        time.sleep(0.2)  # long enough for the other process to take the next one
        return os.environ.get(name)


def test_each_process_has_an_environment_of_its_own() -> None:
    seats = [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    engine: Processes[str, str | None] = Processes(Environment, 2, seats)
    try:
        assert set(engine.map(["CUDA_VISIBLE_DEVICES"] * 12)) == {"3", "5"}
    finally:
        engine.close()
