"""SIGINT and SIGTERM: the current step is closed, and the same command continues it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import what_matters
from faults.commanding import run
from faults.conftest import ROAD, Walked
from faults.forms import short_or_long
from faults.intact import check_whole, contents
from folders import copied

STOPS = short_or_long(2, 4)  # of each signal, spread over one run


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_stopped_it_says_how_to_go_on(
    number: signal.Signals,
    code: int,
    fresh: Walked,
    undisturbed: Walked,
    tmp_path: Path,
    longest: Callable[[str, float], None],
) -> None:
    copied(fresh.folder, tmp_path)
    chance = random.Random(number)
    for _ in range(STOPS):
        moment = chance.randint(20, undisturbed.events // 3)
        ended = run(ROAD, tmp_path, moment=moment, number=number)
        if ended.code == 0:
            break
        assert ended.code == code, ended.stderr
        assert "The same command continues" in ended.stderr
        assert "Traceback" not in ended.stderr
        # From the signal on nothing but the closing of the runs in hand.
        assert ended.events is not None
        assert ended.events - moment < 40
        assert ended.since is not None
        longest("from a signal to the end of the command", ended.since)
        assert {status for _, status, _ in contents(tmp_path)["runs"]} <= {"KILLED", "FINISHED"}
    ended = run(ROAD, tmp_path)
    assert what_matters(ended.answer) == what_matters(undisturbed.answer)
    check_whole(tmp_path)
