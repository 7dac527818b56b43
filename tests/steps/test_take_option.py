"""`select --take N` takes any candidate that finished the race; in a full race all do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import answer, rpmask

from rpmask.steps.race_plan import plan_race
from rpmask.steps.requests import ScreenRequest


def test_a_full_race_compares_at_every_rung_and_stops_no_candidate() -> None:
    _, early = plan_race(ScreenRequest(), rows=3200, k=8)
    training, full = plan_race(ScreenRequest(full=True), rows=3200, k=8)
    assert full.rungs == (*early.rungs, training.full_steps)
    assert full.eta == 1.0
    assert full.behind > 1e6


@pytest.fixture(scope="module")
def full(road: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """The last pool of the run, raced in full."""
    pool = road[1]["levels"][-1]["sample"]["run_id"]
    return answer(["screen", "--from", pool, "--full", "--threads", "1"], road[0])


def test_run_continues_with_the_lowest_loss(road: tuple[Path, dict[str, Any]]) -> None:
    for level in road[1]["levels"]:
        raced = level["generations"][-1]["screen"]["candidates"]
        finished = [i for i, one in enumerate(raced) if one["status"] == "finished"]
        assert level["select"]["winner"] == min(finished, key=lambda i: raced[i]["score"])


def test_any_candidate_of_a_full_race_can_be_taken(
    road: tuple[Path, dict[str, Any]], full: dict[str, Any]
) -> None:
    assert {candidate["status"] for candidate in full["candidates"]} == {"finished"}
    assert len(full["candidates"][-1]["rungs"]) > 1
    worst = max(range(4), key=lambda i: full["candidates"][i]["score"])
    taken = answer(["select", "--from", full["run_id"], "--take", str(worst)], road[0])
    assert taken["winner"] == worst


def test_an_absent_or_stopped_candidate_cannot_be_taken(
    road: tuple[Path, dict[str, Any]], full: dict[str, Any]
) -> None:
    absent = rpmask(["select", "--from", full["run_id"], "--take", "9", "--json"], road[0])
    assert absent.returncode == 2
    assert "There is no candidate 9" in json.loads(absent.stdout)["error"]
    early = ["screen", "--from", full["pool_run_id"], "--budget", "0.9", "--rungs", "2"]
    raced = answer([*early, "--threads", "1"], road[0])
    stopped = [i for i, c in enumerate(raced["candidates"]) if c["status"] == "stopped"]
    taking = ["select", "--from", raced["run_id"], "--take", str(stopped[0]), "--json"]
    found = rpmask(taking, road[0])
    assert found.returncode == 2
    assert "did not finish the race" in json.loads(found.stdout)["error"]
