"""A request that cannot be carried out is refused before anything is loaded."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rpmask.errors import RpmaskError
from rpmask.records import DataChoice
from rpmask.steps.jackpot_request import JackpotRequest
from rpmask.steps.requests import (
    FinetuneRequest,
    RunRequest,
    SampleRequest,
    ScreenRequest,
    TuneRequest,
)
from rpmask.train.plan import Distillation, TrainPlan

NOTHING = Distillation(labels=0.0, logits=0.0, hidden=0.0)


@pytest.mark.parametrize("rows", [0, -5])
@pytest.mark.parametrize("kind", [SampleRequest, JackpotRequest])
def test_statistics_need_a_row(kind: type[SampleRequest] | type[JackpotRequest], rows: int) -> None:
    with pytest.raises(RpmaskError, match=f"--calibration-rows is {rows}; it must be 1 or more"):
        kind(calibration_rows=rows).check()
    kind(calibration_rows=1).check()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (SampleRequest(data=DataChoice(max_length=-5)), "--max-length is -5; it must be 2 or more"),
        (JackpotRequest(data=DataChoice(max_length=1)), "--max-length is 1"),
        (FinetuneRequest(plan=TrainPlan(distill=NOTHING)), "Every term of the loss"),
        (ScreenRequest(distill=Distillation(hidden=-1.0)), "--distill-hidden is -1"),
        (FinetuneRequest(plan=TrainPlan(patience=-1)), "patience is -1; it must be 0 or more"),
        (FinetuneRequest(retain=math.nan), "--retain is nan"),
        (RunRequest(level_epochs=-1), "--level-epochs is -1; it must be 0 or more"),
        (TuneRequest(screen=ScreenRequest(budget=0.0)), "--budget is 0, and `tune` races until"),
        (ScreenRequest(full=True, budget=0), "--budget 0 trains none"),
        (SampleRequest(granularity="2:4", substeps=2), "nothing to reach in 2 sub-steps"),
        (
            RunRequest(
                levels=(0.25,),
                sample=SampleRequest(granularity="2:4"),
                finetune=FinetuneRequest(plan=TrainPlan(tighten=0.5)),
            ),
            "A mask of 2:4 is tightened only by a refit",
        ),
        (
            RunRequest(levels=(0.3,), sample=SampleRequest(granularity="2:4")),
            "0.3 keeps no whole number of every 4 weights",
        ),
        (
            RunRequest(levels=(0.75,), sample=SampleRequest(granularity="2:4")),
            "0.75 is that of 1:4 masks, not of 2:4",
        ),
        (FinetuneRequest(plan=TrainPlan(tighten=0.9, epochs=0, refit=0)), "both are left out"),
        (FinetuneRequest(plan=TrainPlan(tighten=0.9, patience=2)), "cannot stop early"),
        (
            RunRequest(
                sample=SampleRequest(granularity="head"),
                finetune=FinetuneRequest(plan=TrainPlan(tighten=0.95, epochs=0)),
            ),
            "granularity head is tightened only while its weights train",
        ),
        (RunRequest(dense_epochs=-1), "--dense-epochs is -1"),
        (RunRequest(dense_learning_rate=0), "--dense-rate is 0"),
    ],
)
def test_numbers_that_nothing_can_be_done_with(request_: Any, says: str) -> None:
    with pytest.raises(RpmaskError, match=says):
        request_.check()
