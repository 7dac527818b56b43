"""The sparsity levels of a run; each level's mask lies inside the mask of the level before."""

from __future__ import annotations

from itertools import pairwise

from rpmask.errors import RpmaskError
from rpmask.randomized_masks import paper

MOST_STEPS = 100


def parse_levels(text: str, target: float | None = None) -> tuple[float, ...]:
    """Read `0.54,0.83,0.92,0.9375`, one number, or `cubic:N`: N levels up to the target sparsity.

    The cubic schedule drops most at first, when many weights are redundant: target * (1 - (1 - i/N)^3). The
    default target is the paper's last level. A list may end below the target: the last training tightens the
    mask to it.
    """
    if text.startswith("cubic:"):
        steps = text.removeprefix("cubic:")
        if not steps.isdecimal() or not 1 <= int(steps) <= MOST_STEPS:
            raise RpmaskError(
                f"'{text}' is not a cubic schedule of 1 to {MOST_STEPS} levels.",
                "Write it like cubic:4.",
            )
        count, end = int(steps), paper.LEVELS[-1] if target is None else target
        levels = tuple(end * (1.0 - (1.0 - step / count) ** 3) for step in range(1, count + 1))
    else:
        levels = tuple(_number(part, text) for part in text.split(","))
        if target is not None and levels[-1] > target:
            raise RpmaskError(
                f"The levels '{text}' end at {levels[-1]:g}, above the target sparsity {target:g}.",
                "Leave one of the two out, or end the levels at the target or below.",
            )
    return check_levels(levels)


def check_levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse levels that do not rise strictly within (0, 1)."""
    for level in levels:
        if not 0.0 < level < 1.0:
            raise RpmaskError(
                f"The sparsity level {level:g} is not between 0 and 1.",
                "A level is the share of weights dropped, like 0.9375.",
            )
    for before, after in pairwise(levels):
        if after <= before:
            raise RpmaskError(
                f"The sparsity levels do not rise: {before:g} is followed by {after:g}.",
                "Give them in rising order, like 0.54,0.83,0.92,0.9375.",
            )
    return levels


def _number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError as error:
        raise RpmaskError(
            f"'{part.strip()}' in the levels '{text}' is not a number.",
            "Give numbers like 0.54,0.83,0.92,0.9375, or cubic:4.",
        ) from error
