"""What the options of the search space mean: a value, a list, a range."""

from __future__ import annotations

import pytest

from rpmask.cli.space import TypedSpace
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
def test_lists_and_ranges_are_told_apart(
    text: str, values: tuple[float, ...], is_list: bool
) -> None:
    usual = SearchSpace()
    space = TypedSpace(temperature=text).parsed()
    assert space.temperature == values
    assert space.lists == (("temperature",) if is_list else ())
    assert space.sample_ratio == usual.sample_ratio


@pytest.mark.parametrize("text", ["0.1..0.2..0.4", "warm", "0.1,", ""])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(RpmaskError, match="not a number, a range or a list"):
        TypedSpace(temperature=text).parsed()


def test_the_default_as_typed_is_the_default() -> None:
    usual = SearchSpace()
    assert TypedSpace().parsed() == usual
    assert usual.spelled("temperature") == "0.05..0.5"
    for text in ("0.05,0.5", "0.2"):
        assert TypedSpace(temperature=text).parsed().spelled("temperature") == text
