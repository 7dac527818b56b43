"""A search takes its task's pace where the command does not say."""

from __future__ import annotations

from dataclasses import replace

from rpmask.cli.jackpot_verb import PLAN, _paced

NOTHING = {"epochs": None, "batch_size": None, "learning_rate": None}


def test_the_demo_is_searched_faster_than_the_paper_searches() -> None:
    assert _paced(PLAN, "digits", NOTHING) == PLAN
    quick = _paced(PLAN, "demo", NOTHING)
    assert quick.epochs < PLAN.epochs / 5
    assert quick.learning_rate > PLAN.learning_rate


def test_what_is_said_holds() -> None:
    said = _paced(PLAN, "demo", {**NOTHING, "epochs": 7})
    assert said.epochs == 7
    assert said.batch_size == _paced(PLAN, "demo", NOTHING).batch_size


def test_the_rate_of_sgd_is_not_given_to_adam() -> None:
    adam = replace(PLAN, optimizer="adam")
    assert _paced(adam, "demo", NOTHING).learning_rate == PLAN.learning_rate
    assert _paced(adam, "demo", {**NOTHING, "learning_rate": 3e-3}).learning_rate == 3e-3
