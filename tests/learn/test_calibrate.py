"""Statistics that say nothing of any weight are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.learn.calibrate import calibrate
from rpmask.learn.observer import Silent

NAMES = [f"encoder.layer.{i}.output.dense.weight" for i in range(2)]


def test_no_rows_are_no_statistics() -> None:
    model = tiny_bert()
    for kind in ("fisher", "taylor", "wanda"):
        with pytest.raises(RpmaskError, match=f"The {kind} statistics of 0 rows are zero"):
            calibrate(
                model,
                toy_rows(4).take(np.array([], dtype=int)),
                TOY_TASK,
                NAMES,
                [kind],
                observer=Silent(),
            )


def test_a_tensor_may_be_without_gradient_but_not_all() -> None:
    model = tiny_bert()
    with torch.no_grad():
        model.base_model.encoder.layer[1].output.LayerNorm.weight.zero_()  # cuts off all below it
    with pytest.raises(RpmaskError, match="zero for every weight"):
        calibrate(model, toy_rows(8), TOY_TASK, NAMES, ["fisher"], observer=Silent())
    pooled = [*NAMES, "pooler.dense.weight"]
    with torch.no_grad():
        model.base_model.encoder.layer[1].output.LayerNorm.bias.fill_(0.1)
    found = calibrate(model, toy_rows(8), TOY_TASK, pooled, ["fisher"], observer=Silent())
    assert not found["fisher"].tensors[NAMES[0]].any()
    assert found["fisher"].tensors["pooler.dense.weight"].any()
