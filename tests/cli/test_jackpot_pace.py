"""A search takes its task's pace where the command does not say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from rpmask.cli import app
from rpmask.cli.jackpot_verb import PLAN, _paced
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.records import DataChoice
from rpmask.steps.searchpaces import search_pace

NOTHING = {"epochs": None, "batch_size": None, "learning_rate": None, "augment": None}
DEMO = search_pace("demo", DataChoice())


@pytest.mark.parametrize(
    ("task", "data", "changed"),
    [
        ("my-images", DataChoice(data_dir="images"), {}),
        ("cifar10", DataChoice(), {"augment": "crop-flip"}),
        ("digits", DataChoice(), {"epochs": 10, "batch_size": 16}),
        ("sst-2", DataChoice(), {"batch_size": 64}),
        ("mine", DataChoice(train="train.csv"), {"batch_size": 64}),
    ],
)
def test_the_paper_s_plan_and_where_tasks_differ(
    task: str, data: DataChoice, changed: dict[str, int | str]
) -> None:
    assert _paced(PLAN, search_pace(task, data), NOTHING) == replace(SearchPlan(), **changed)  # type: ignore[arg-type]


def test_the_demo_is_searched_faster_than_the_paper_searches() -> None:
    quick = _paced(PLAN, DEMO, NOTHING)
    assert quick.epochs < PLAN.epochs / 5
    assert quick.learning_rate > PLAN.learning_rate


def test_what_is_said_holds() -> None:
    said = _paced(PLAN, DEMO, {**NOTHING, "epochs": 7, "augment": "crop"})
    assert (said.epochs, said.augment) == (7, "crop")
    assert said.batch_size == DEMO.batch_size


def test_the_rate_of_sgd_is_not_given_to_adam() -> None:
    adam = replace(PLAN, optimizer="adam")
    assert _paced(adam, DEMO, NOTHING).learning_rate == PLAN.learning_rate
    assert _paced(adam, DEMO, {**NOTHING, "learning_rate": 3e-3}).learning_rate == 3e-3


def test_the_help_names_every_task_that_differs() -> None:
    page = CliRunner().invoke(app.app, ["jackpot", "--help"]).stdout
    shown = " ".join(page.replace("│", " ").split())
    for word in ("256", "16 for digits", "32 for demo", "64 for texts", "crop-flip for cifar10"):
        assert word in shown, word
