"""Places that cannot be written to, and a clock that jumps."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import answer, what_matters
from faults.commanding import run
from faults.conftest import ROAD, Walked
from faults.intact import check_whole
from folders import copied

SAMPLE = ["sample", "--k", "2", "-s", "0.9", "--importance", "magnitude"]


def mount(folder: Path, *options: str) -> None:
    """A small disk of its own at a folder; the test is skipped where mounting is not permitted."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=8m", "tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_and_the_road_goes_on_when_there_is_space(
    disk: Path, fresh: Walked, undisturbed: Walked
) -> None:
    folder = copied(fresh.folder, disk)
    ended = run(ROAD, folder)
    assert ended.code == 1, ended.stdout + ended.stderr
    said = json.loads(ended.stdout)
    assert "disk is full" in said["error"]
    assert said["hint"]
    mount(folder, "-o", "remount,size=256m")
    ended = run(ROAD, folder)
    assert what_matters(ended.answer) == what_matters(undisturbed.answer)
    check_whole(folder)


def test_a_folder_that_is_read_only_is_said_at_once(disk: Path) -> None:
    mount(disk, "-o", "remount,ro")
    ended = run(SAMPLE, disk)
    assert ended.code == 2, ended.stdout + ended.stderr
    assert "Read-only" in json.loads(ended.stdout)["error"]


@pytest.mark.parametrize(
    "env",
    [{"HOME": "/nowhere"}, {"HF_HOME": "/proc/cache"}, {"MPLCONFIGDIR": "/proc/matplotlib"}],
    ids=["home", "cache", "matplotlib"],
)
def test_no_home_and_no_cache_are_needed(
    env: dict[str, str], fresh: Walked, tmp_path: Path
) -> None:
    folder = copied(fresh.folder, tmp_path / "work")
    assert answer(SAMPLE, folder, env, cold=True)["k"] == 2


def test_the_clock_jumps_back_between_two_attempts(
    fresh: Walked, undisturbed: Walked, tmp_path: Path
) -> None:
    """A day back after a kill: what was resumed is still found, and nothing is logged twice."""
    folder = copied(fresh.folder, tmp_path / "work")
    assert run(ROAD, folder, moment=undisturbed.events // 2).code == -9
    ended = run(ROAD, folder, clock=-86_400.0)
    assert what_matters(ended.answer) == what_matters(undisturbed.answer)
    check_whole(folder)
