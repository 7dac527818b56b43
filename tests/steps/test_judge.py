"""The verdict and the kept mask, from made-up losses whose evidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from charts.chart_records import pool_of, raced, report_of

from rpmask.records import Selection
from rpmask.steps.requests import SelectRequest
from rpmask.steps.select import judge

ROWS = 400


def judged(take: str, advantage: float, spread: float) -> Selection:
    """A control against one rival, whose losses are lower by `advantage`, give or take `spread` a row."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, ROWS)
    noise = (noise - noise.mean()) / noise.std()
    control = rng.uniform(0.2, 0.8, ROWS)
    rival = control - advantage + spread * noise
    losses = {0: control, 1: rival}
    report = report_of(raced(0, [control.mean()]), raced(1, [rival.mean()]))
    selection, _ = judge(SelectRequest(take=take), report, pool_of(2), losses, "run")
    return selection


@pytest.mark.parametrize(
    ("advantage", "spread", "verdict", "evidence", "best"),
    [
        (0.05, 0.1, "better", 1, 1),
        (0.005, 0.5, "no-evidence", 0, 1),  # lower, and by no more than luck
        (-0.005, 0.5, "no-evidence", 0, 0),
        (-0.05, 0.1, "worse", 0, 0),
    ],
)
def test_evidence_keeps_the_control_and_best_the_lowest_loss(
    advantage: float, spread: float, verdict: str, evidence: int, best: int
) -> None:
    for take, winner in (("evidence", evidence), ("best", best), ("control", 0), ("1", 1)):
        selection = judged(take, advantage, spread)
        assert selection.verdict == verdict  # whatever is taken
        assert selection.winner == winner, take
        assert selection.effect == pytest.approx(advantage)
