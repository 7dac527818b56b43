"""Rows of the leaderboard, with means and intervals worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rpmask.charts.leaderboard import LeaderboardRow, leaderboard_rows
from rpmask.charts.leaderboard_dots import board
from rpmask.charts.run_results import RunFacts, results_of


def facts(run_id: str, step: str, **given: Any) -> RunFacts:
    tags = {"task": "rte", "sparsity": "0.9", **given.get("tags", {})}
    return RunFacts(
        run_id=run_id,
        step=step,
        started=given.get("started", 0),
        params={"model": "bert", **given.get("params", {})},
        metrics=given.get("metrics", {}),
        tags=tags,
    )


def lineage(name: str, seed: int, dev: float, **params: str) -> list[RunFacts]:
    """A sample, screen, select and finetune of one seed, joined by their tags."""
    mine = {"seed": str(seed)}
    pool, race, chosen = f"{name}-pool", f"{name}-race", f"{name}-chosen"
    recipe = params.pop("recipe", "default")
    return [
        facts(pool, "sample", params={**mine, "recipe": recipe}, metrics={"seconds": 1.0}),
        facts(
            race,
            "screen",
            params=mine,
            tags={"pool": pool},
            metrics={"steps_spent": 20.0, "seconds": 2.0},
        ),
        facts(chosen, "select", params=mine, tags={"screen": race, "verdict": "better"}),
        facts(
            name,
            "finetune",
            params={**mine, **params},
            tags={"selection": chosen, "primary": "accuracy"},
            metrics={"dev/accuracy": dev, "dense/accuracy": 0.8, "steps": 100.0, "seconds": 7.0},
            started=int(params.get("started", "0")),
        ),
    ]


def table(
    *lineages: list[RunFacts], champions: set[str] = frozenset(), **kind: bool
) -> list[LeaderboardRow]:
    found = {step.run_id: step for steps in lineages for step in steps}
    return leaderboard_rows(results_of(found), champions, **kind)


def test_seeds_of_one_method_are_one_row_with_students_interval() -> None:
    (row,) = table(lineage("a", 0, 0.70), lineage("b", 1, 0.72), lineage("c", 2, 0.74))
    assert row.seeds == ("0", "1", "2")
    assert row.mean == pytest.approx(0.72)
    # s = 0.02, t(2, 97.5 %) = 4.3027: 4.3027 * 0.02 / sqrt(3) = 0.04968
    assert row.interval == pytest.approx((0.72 - 0.04968, 0.72 + 0.04968), abs=1e-5)
    assert row.retention == pytest.approx(0.9)
    assert (row.method, row.better, row.steps, row.seconds) == ("drawn", 3, 120.0, 10.0)
    assert row.settings == ""


def test_one_seed_has_no_interval() -> None:
    (row,) = table(lineage("a", 0, 0.7))
    assert row.interval == ()


def test_the_same_seed_again_counts_once_and_the_latest() -> None:
    (row,) = table(lineage("old", 0, 0.5, started="1"), lineage("new", 0, 0.7, started="2"))[:1]
    assert row.runs == ("new",)


def test_only_settings_that_differ_are_shown() -> None:
    rows = table(lineage("a", 0, 0.70, epochs="6", k="8"), lineage("b", 0, 0.75, epochs="3", k="8"))
    assert [row.settings for row in rows] == ["epochs=3", "epochs=6"]
    assert [row.mean for row in rows] == [0.75, 0.70]


def test_the_papers_recipe_is_another_method() -> None:
    rows = table(lineage("a", 0, 0.7), lineage("b", 0, 0.6, recipe="paper"))
    assert [row.method for row in rows] == ["drawn", "paper"]


def test_costs_of_lower_levels_are_included() -> None:
    below, above = lineage("low", 0, 0.78, epochs="1"), lineage("high", 0, 0.7, epochs="6")
    above[0] = facts("high-pool", "sample", params={"seed": "0"}, tags={"parent": "low"})
    rows = table(below, above)
    assert [row.steps for row in rows] == [240.0, 120.0] or [row.steps for row in rows] == [
        120.0,
        240.0,
    ]
    high = next(row for row in rows if "high" in row.runs)
    assert high.steps == 240.0
    assert high.settings.startswith("epochs=6 levels=0.9,0.9")
    assert "below" not in high.settings


def test_settings_of_lower_levels_are_shown_where_nothing_else_differs() -> None:
    lineages = []
    for name, epochs in (("a", "1"), ("b", "2")):
        below, above = (
            lineage(f"{name}-low", 0, 0.78, epochs=epochs),
            lineage(name, 0, 0.7, epochs="6"),
        )
        above[0] = facts(
            f"{name}-pool", "sample", params={"seed": "0"}, tags={"parent": f"{name}-low"}
        )
        lineages += [below, above]
    shown = {row.runs[0]: row.settings for row in table(*lineages)}
    assert "below.epochs=1" in shown["a"]
    assert "below.epochs=2" in shown["b"]


def test_a_jackpot_and_a_dense_model_have_their_own_rows() -> None:
    found = facts(
        "j",
        "jackpot",
        params={"seed": "0"},
        tags={"primary": "accuracy", "start": "magnitude"},
        metrics={"dev/accuracy": 0.6, "dense/accuracy": 0.8, "steps": 50.0},
    )
    dense = facts(
        "d",
        "finetune",
        params={"seed": "0"},
        tags={"primary": "accuracy", "sparsity": "0"},
        metrics={"dev/accuracy": 0.8, "dense/accuracy": 0.8},
    )
    rows = table([found], [dense])
    assert {(row.method, row.sparsity) for row in rows} == {("jackpot", 0.9), ("dense", 0.0)}
    assert all(row.better is None for row in rows)


def test_the_champion_is_marked() -> None:
    rows = table(lineage("a", 0, 0.7), lineage("b", 0, 0.6, recipe="paper"), champions={"b"})
    assert [row.champion for row in rows] == [False, True]


def test_each_run_can_have_its_row() -> None:
    rows = table(lineage("a", 0, 0.70), lineage("b", 1, 0.72), each=True)
    assert [row.runs for row in rows] == [("b",), ("a",)]


def test_a_missing_metric_ranks_last() -> None:
    lost = lineage("a", 0, 0.7)
    lost[-1] = facts("a", "finetune", params={"seed": "0"}, tags={"primary": "accuracy"})
    rows = table(lost, lineage("b", 0, 0.6, epochs="3"))
    assert rows[0].runs == ("b",)
    assert math.isnan(rows[1].mean)


def test_costs_of_earlier_generations_are_included() -> None:
    spent = {"steps_spent": 500.0, "seconds": 2.0}
    steps = [
        facts("pool1", "sample", params={"seed": "0"}, metrics={"seconds": 1.0}, started=1),
        facts("race1", "screen", tags={"pool": "pool1"}, metrics=spent, started=2),
        # Raced again after the next pool was drawn: not what that continued.
        facts("again", "screen", tags={"pool": "pool1"}, metrics=spent, started=4),
        facts(
            "pool2",
            "sample",
            params={"seed": "0"},
            tags={"like": "pool1"},
            metrics={"seconds": 1.0},
            started=3,
        ),
        facts("race2", "screen", tags={"pool": "pool2"}, metrics=spent, started=5),
        facts("chosen", "select", tags={"screen": "race2"}, started=6),
        facts(
            "trained",
            "finetune",
            tags={"selection": "chosen", "primary": "accuracy"},
            metrics={"dev/accuracy": 0.7, "dense/accuracy": 0.8, "steps": 100.0, "seconds": 7.0},
            started=7,
        ),
    ]
    (row,) = table(steps)
    assert (row.steps, row.seconds) == (1100.0, 13.0)
    (result,) = results_of({step.run_id: step for step in steps})
    assert result.settings == {"generations": "2"}


def test_a_generation_continues_the_race_that_its_pool_names() -> None:
    steps = [
        facts("pool1", "sample", started=1),
        facts("short", "screen", tags={"pool": "pool1"}, metrics={"steps_spent": 5.0}, started=2),
        facts("long", "screen", tags={"pool": "pool1"}, metrics={"steps_spent": 50.0}, started=3),
        facts("pool2", "sample", tags={"like": "pool1", "race": "short"}, started=4),
        facts("low", "finetune", tags={"pool": "pool2", "primary": "accuracy"}, started=5),
    ]
    (result,) = results_of({step.run_id: step for step in steps})
    assert result.steps == 5.0


def test_generations_are_counted_per_level() -> None:
    pools = [
        facts("low1", "sample", started=1),
        facts("low2", "sample", tags={"like": "low1"}, started=2),
        facts("low", "finetune", tags={"pool": "low2"}, started=3),
        facts("high1", "sample", tags={"parent": "low"}, started=4),
        facts("high2", "sample", tags={"parent": "low", "like": "high1"}, started=5),
        facts("high3", "sample", tags={"parent": "low", "like": "high2"}, started=6),
        facts("high", "finetune", tags={"pool": "high3", "primary": "accuracy"}, started=7),
    ]
    (result,) = results_of({step.run_id: step for step in pools})
    assert result.settings == {"generations": "3", "below.generations": "2", "levels": "0.9,0.9"}


def test_the_lowest_perplexity_is_first_and_keeps_dense_over_sparse() -> None:
    found = []
    for name, dev in (("a", 40.0), ("b", 32.0)):
        *before, last = lineage(name, 0, dev, learning_rate=name)
        metrics = {"dev/perplexity": dev, "dense/perplexity": 24.0, "steps": 1.0, "seconds": 1.0}
        tags = {**last.tags, "primary": "perplexity", "better": "lower"}
        found.append([*before, replace(last, metrics=metrics, tags=tags)])
    first, second = table(*found)
    assert (first.mean, second.mean) == (32.0, 40.0)
    assert (first.retention, second.retention) == pytest.approx((0.75, 0.6))
    axes = board([first, second]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["32.000"]
