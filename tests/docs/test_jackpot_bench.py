"""The benchmark of jackpots runs: its starts, its arms, one search of each kind of norms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from loading import load

from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice

SCRIPT = load("benchmarks/jackpot.py")


@pytest.fixture(scope="module")
def work() -> Any:
    plan = SearchPlan(epochs=1, batch_size=16)
    return SCRIPT.Workload("digits", plan, (0.9,), seeds=1, choice=DataChoice(train_rows=128))


@pytest.mark.parametrize("kind", SCRIPT.STARTS)
def test_every_start_is_drawn(work: Any, kind: str) -> None:
    mask = work.start(kind, 0.9, 0)
    assert mask.kept() == round(0.1 * mask.total())
    assert any("embedder" in name for name in mask.names)


def test_frozen_norms_have_arms_of_their_own(work: Any) -> None:
    arms = SCRIPT.arms(work, False)
    others = [(start, plan.norm_statistics) for start, plan, _ in arms]
    assert {("magnitude", "frozen"), ("random", "frozen"), ("magnitude", "batch")} <= set(others)
    runs = [
        work.run("fisher", 0.9, 0, replace(work.plan, norm_statistics=norms))
        for norms in ("batch", "frozen")
    ]
    assert [run["norms"] for run in runs] == ["batch", "frozen"]
    rows = SCRIPT.summary(runs)
    assert [row["norms"] for row in rows] == ["batch", "frozen"]
    lost = runs[1]["accuracy"] - runs[0]["accuracy"]
    assert rows[1]["minus_batch"] == {"mean": lost, "low": lost, "high": lost}
    assert runs[0]["selection_curve"][1] > runs[1]["selection_curve"][1]
