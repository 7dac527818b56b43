"""Two users of one store, first-time starts at once, and SQLite shared by eight processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands import Running, what_matters
from faults.conftest import ROAD, Walked
from faults.intact import check_whole, contents
from folders import copied

SAMPLE = ["sample", "--k", "2", "-s", "0.9", "--importance", "magnitude", "--json"]


def at_once(commands: Sequence[Sequence[str]], folder: Path) -> list[dict[str, Any]]:
    """What commands print that are started together; all must succeed."""
    started = [Running(command, folder) for command in commands]
    ended = [running.finish() for running in started]
    for done in ended:
        assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(done.stdout) for done in ended]


def test_two_first_starts_race_on_a_database_that_is_not_there(tmp_path: Path) -> None:
    first, second = at_once([SAMPLE, [*SAMPLE, "--seed", "1"]], tmp_path)
    assert first["run_id"] != second["run_id"]
    check_whole(tmp_path)


def test_the_same_key_is_computed_once_and_others_finish(fresh: Walked, tmp_path: Path) -> None:
    """Eight processes, four keys: half of them wait for the other half."""
    folder = copied(fresh.folder, tmp_path / "shared")
    commands = [[*SAMPLE, "--seed", str(seed)] for seed in (1, 2, 3, 4)] * 2
    answers = at_once(commands, folder)
    for mine, other in zip(answers[:4], answers[4:], strict=True):
        assert mine["run_id"] == other["run_id"]
        assert sorted([mine["reused"], other["reused"]]) == [False, True]
    check_whole(folder)
    assert sum(contents(folder)["runs"].values()) == 4


def test_two_whole_roads_of_the_same_key_and_one_of_another(
    fresh: Walked, undisturbed: Walked, tmp_path: Path
) -> None:
    folder = copied(fresh.folder, tmp_path / "shared")
    road = [*ROAD, "--json"]
    mine, other, different = at_once([road, road, [*road, "--seed", "1"]], folder)
    assert what_matters(mine) == what_matters(other) == what_matters(undisturbed.answer)
    assert what_matters(different) != what_matters(mine)
    check_whole(folder)
    steps = contents(undisturbed.folder)["runs"]
    assert sum(contents(folder)["runs"].values()) == 2 * sum(steps.values())
