"""`jackpot` uses its task's defaults for options that are not given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from rpmask.cli import app
from rpmask.cli.jackpot import search_plan
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice

PLAN = SearchPlan()
DATA = DataChoice()
DEMO = search_plan("demo", DATA, {})


@pytest.mark.parametrize(
    ("task", "data", "changed"),
    [
        ("my-images", DataChoice(data_dir="images"), {}),
        ("cifar10", DATA, {"augment": "crop-flip"}),
        ("digits", DATA, {"epochs": 10, "batch_size": 16}),
        ("sst-2", DATA, {"batch_size": 64}),
        ("mine", DataChoice(train="train.csv"), {"batch_size": 64}),
    ],
)
def test_the_papers_plan_and_where_tasks_differ(
    task: str, data: DataChoice, changed: dict[str, int | str]
) -> None:
    assert search_plan(task, data, {}) == replace(PLAN, **changed)  # type: ignore[arg-type]


def test_an_option_that_is_given_is_used() -> None:
    plan = search_plan("demo", DATA, {"epochs": 7, "augment": "crop"})
    assert (plan.epochs, plan.augment) == (7, "crop")
    assert plan.batch_size == DEMO.batch_size


def test_adam_does_not_get_the_rate_for_sgd() -> None:
    adam = {"optimizer": "adam"}
    assert search_plan("demo", DATA, adam).learning_rate == PLAN.learning_rate
    assert DEMO.learning_rate != PLAN.learning_rate
    assert search_plan("demo", DATA, {**adam, "learning_rate": 3e-3}).learning_rate == 3e-3


def test_the_help_names_every_task_that_differs() -> None:
    page = CliRunner().invoke(app.app, ["jackpot", "--help"]).stdout
    shown = " ".join(page.replace("│", " ").split())
    for word in ("256", "16 for digits", "32 for demo", "64 for texts", "crop-flip for cifar10"):
        assert word in shown, word
