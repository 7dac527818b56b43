"""What more evidence would cost, by hand."""

from __future__ import annotations

import pytest

from rpmask.records import RacedCandidate, Score, ScreenReport, Selection
from rpmask.steps.more_evidence import more_evidence


def report() -> ScreenReport:
    rung = Score(candidate=0, rung=1, step=10, loss=0.5, metric=0.8, train_loss=0.5)
    return ScreenReport(
        pool_run_id="p",
        task="toy",
        level=1,
        sparsity=0.9,
        metric_name="accuracy",
        engine="local",
        workers=1,
        threads=1,
        examples=100,
        batch_size=32,
        steps_spent=50,
        steps_full=400,
        candidates=(RacedCandidate(0, "a", "b", "finished", (rung,)),),
    )


def selection(verdict: str, effect: float, interval: tuple[float, float], twins: int) -> Selection:
    return Selection(
        screen_run_id="s",
        pool_run_id="p",
        task="toy",
        level=1,
        sparsity=0.9,
        winner=0,
        best=1,
        control=0,
        ranking=(0, 1),
        verdict=verdict,
        effect=effect,
        interval=interval,
        confidence=0.95,
        compared=1,
        metrics={},
        mask_digest="d",
        twins=twins,
    )


@pytest.mark.parametrize(
    ("effect", "interval", "examples"),
    [
        # Half the interval is twice the effect: four times the examples halve it.
        (0.1, (-0.1, 0.3), 400),
        (0.0, (-0.2, 0.2), None),
        (-0.1, (-0.3, 0.1), None),
        (0.1, (0.0, 0.2), 101),  # at the very edge
    ],
)
def test_examples_that_a_lead_needs(
    effect: float, interval: tuple[float, float], examples: int | None
) -> None:
    found = more_evidence(selection("no-evidence", effect, interval, 3), report())
    assert found is not None
    assert found["examples"] == examples
    assert (found["twins"], found["twin_steps"]) == (6, 30)
    assert (found["steps_spent"], found["full_steps"]) == (50, 400)


def test_a_verdict_needs_no_more() -> None:
    assert more_evidence(selection("better", 0.1, (0.05, 0.15), 0), report()) is None
    found = more_evidence(selection("no-evidence", 0.1, (-0.1, 0.3), 0), report())
    assert found is not None
    assert (found["twins"], found["twin_steps"]) == (3, 30)
