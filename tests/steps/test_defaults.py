"""Defaults of `run` by task and by the kind of the user's data."""

from __future__ import annotations

from rpmask.steps.defaults import starting_point, task_defaults


def test_a_text_to_predict_has_its_own() -> None:
    by_name, by_kind = (
        starting_point("default", "WikiText-2"),
        starting_point("default", "mine", "language"),
    )
    assert by_name == by_kind
    assert by_name.sample.calibration_rows == by_name.screen.examples == 64
    assert by_name.finetune.plan.epochs == 1.0
    assert by_name.finetune.plan.distill.hidden == 0.0
    assert task_defaults("mine").untrained.rows == 1024
    assert starting_point("default", "rte") == starting_point("default", "mine")
