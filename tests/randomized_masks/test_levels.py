from __future__ import annotations

import pytest

from rpmask.errors import RpmaskError
from rpmask.randomized_masks.levels import parse_levels
from rpmask.randomized_masks.paper import LEVELS


def test_lists_and_numbers() -> None:
    assert parse_levels("0.54,0.83,0.92,0.9375") == LEVELS
    assert parse_levels("0.9375") == (0.9375,)
    assert parse_levels(" 0.5, 0.75 ", target=0.75) == (0.5, 0.75)


def test_cubic_rises_fast_and_ends_at_the_target() -> None:
    assert parse_levels("cubic:2", target=0.8) == pytest.approx((0.7, 0.8))
    assert parse_levels("cubic:4")[-1] == LEVELS[-1]
    assert parse_levels("cubic:1", target=0.97) == (0.97,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.5,0.5", "0.5 is followed by 0.5"),
        ("0.9,0.5", "0.9 is followed by 0.5"),
        ("0,0.5", "level 0 is not between"),
        ("0.5,1", "level 1 is not between"),
        ("nan", "level nan"),
        ("half", "'half' in the levels"),
        ("0.5,", "'' in the levels"),
        ("cubic:0", "not a cubic schedule"),
        ("cubic:", "not a cubic schedule"),
        ("cubic:101", "not a cubic schedule"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(RpmaskError, match=says):
        parse_levels(text)


def test_levels_may_end_below_the_target() -> None:
    assert parse_levels("0.2,0.5", target=0.9) == (0.2, 0.5)


def test_a_target_that_contradicts() -> None:
    with pytest.raises(RpmaskError, match=r"end at 0\.5, above"):
        parse_levels("0.2,0.5", target=0.4)
    with pytest.raises(RpmaskError, match=r"level 1\.1"):
        parse_levels("cubic:3", target=1.2)
