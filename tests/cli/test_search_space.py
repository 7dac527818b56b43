"""What the options of the search space mean: a value, a list, a range."""

from __future__ import annotations

import pytest

from rpmask.cli.common import search_space
from rpmask.errors import RpmaskError
from rpmask.records import SearchSpace


@pytest.mark.parametrize(
    ("text", "values", "is_list"),
    [
        ("0.2", (0.2,), False),
        ("0.1,0.2,0.4", (0.1, 0.2, 0.4), True),
        ("0.4, 0.1", (0.4, 0.1), True),
        ("0.1..0.4", (0.1, 0.4), False),
        ("0.4..0.1", (0.1, 0.4), False),
    ],
)
def test_a_list_is_no_range(text: str, values: tuple[float, ...], is_list: bool) -> None:
    usual = SearchSpace()
    space = search_space(text, usual.spelled("sample_ratio"), "fisher", "uniform,global")
    assert space.temperature == values
    assert space.lists == (("temperature",) if is_list else ())
    assert space.sample_ratio == usual.sample_ratio


@pytest.mark.parametrize("text", ["0.1..0.2..0.4", "warm", "0.1,", ""])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(RpmaskError, match="not a number, a range or a list"):
        search_space(text, "1e-4", "fisher", "uniform")


def test_the_default_as_typed_is_the_default() -> None:
    usual = SearchSpace()
    ranges = (usual.spelled("temperature"), usual.spelled("sample_ratio"))
    assert search_space(*ranges, "fisher", "uniform,global") == usual
    listed = search_space("0.05,0.5", ranges[1], "fisher", "uniform,global")
    assert (listed.spelled("temperature"), ranges[0]) == ("0.05,0.5", "0.05..0.5")
    assert search_space("0.2", ranges[1], "fisher", "uniform").spelled("temperature") == "0.2"
