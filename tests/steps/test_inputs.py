"""Texts are as long as asked for, and no longer than the model has positions for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rpmask.learn.models import load_classifier
from rpmask.records import DataChoice
from rpmask.steps.inputs import encoded, load_data, prepare

POSITIONS = 64  # the demo's


@pytest.mark.parametrize(("asked", "read"), [(16, 16), (128, POSITIONS), (600, POSITIONS)])
def test_rows_longer_than_the_model(tmp_path: Path, asked: int, read: int) -> None:
    rows = "\n".join(f"{'the chef stirred the soup ' * 50},{i % 2}" for i in range(8))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}\n")
    path = str(tmp_path / "rows.csv")
    choice = DataChoice(train=path, dev=path, selection_rows=4, max_length=asked)
    data = load_data("mine", choice)
    prepared = prepare(data, choice, "demo")
    alone = encoded(data.train, data.spec, choice, "demo")
    assert prepared.max_length == read
    for split in (prepared.train, prepared.selection, prepared.dev()["dev"], alone):
        assert set(split.lengths) == {read}
    batch = prepared.train.batch(torch.arange(2).numpy())
    batch.pop("labels")
    assert load_classifier("demo", data.spec)(**batch).logits.shape == (2, 2)
