"""The parameters of a pool: the usual ones, and unusual options where they were given."""

from __future__ import annotations

import pytest

from rpmask.records import DataChoice
from rpmask.steps.inputs import data_params
from rpmask.steps.requests import SampleRequest
from rpmask.steps.sample import sample_params


def test_the_usual_data_and_tensors_are_not_shown() -> None:
    assert data_params(DataChoice(data_dir="/data/glue")) == {}
    assert {"floor", "include", "exclude", "train_rows"}.isdisjoint(sample_params(SampleRequest()))


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (SampleRequest(floor=0.2), {"floor": 0.2}),
        (SampleRequest(include=("attention",)), {"include": ("attention",)}),
        (SampleRequest(exclude=("pooler",)), {"exclude": ("pooler",)}),
        (
            SampleRequest(data=DataChoice(train_rows=256, max_length=64)),
            {"train_rows": 256, "max_length": 64},
        ),
    ],
)
def test_what_is_unusual_is_shown(request_: SampleRequest, told: dict[str, object]) -> None:
    assert sample_params(request_) == {**sample_params(SampleRequest()), **told}


def test_selection_rows_and_split_are_shown() -> None:
    data = DataChoice(selection_rows=100, split_seed=3)
    assert data_params(data) == {"selection_rows": 100, "split_seed": 3}
