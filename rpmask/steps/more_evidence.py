"""What more evidence would cost, where a race could not tell the best candidate from the control."""

from __future__ import annotations

import math
from typing import Any

from rpmask.randomized_masks.verdict import NO_EVIDENCE
from rpmask.records import ScreenReport, Selection

FEWEST_TWINS = 3


def more_evidence(selection: Selection, report: ScreenReport) -> dict[str, Any] | None:
    """The ways to a narrower interval, each with its price; None where there is a verdict.

    examples is how many held-out examples the lead would need if it stayed: an interval narrows with their
    square root. It is None if there is no lead. The noise of training does not shrink with examples, so it is
    the least that would do.
    """
    if selection.verdict != NO_EVIDENCE:
        return None
    low, high = selection.interval
    needed = None
    if selection.effect > 0.0 and math.isfinite(high - low):
        half = (high - low) / 2.0
        needed = max(
            report.examples + 1, math.ceil(report.examples * (half / selection.effect) ** 2)
        )
    rungs = report.candidates[selection.control].rungs
    twins = max(FEWEST_TWINS, 2 * selection.twins)
    return {
        "pool_run_id": report.pool_run_id,
        "examples": needed,
        "compared_on": report.examples,
        "steps_spent": report.steps_spent,
        "full_steps": report.steps_full,
        "twins": twins,
        "twin_steps": (twins - selection.twins) * (rungs[-1].step if rungs else 0),
    }
