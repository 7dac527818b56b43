"""Texts are cut to --max-length, and to the positions of the model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rpmask.records import DataChoice
from rpmask.steps.context import Context
from rpmask.steps.finetune import finetune_dense
from rpmask.steps.inputs import encoder_of, load_data, prepare, read_as, source_digest
from rpmask.steps.requests import FinetuneRequest
from rpmask.train.model_place import locate
from rpmask.train.models import load_classifier
from rpmask.train.plan import TrainPlan

POSITIONS = 64  # the demo's


@pytest.mark.parametrize(("asked", "read"), [(16, 16), (128, POSITIONS), (600, POSITIONS)])
def test_rows_longer_than_the_model(tmp_path: Path, asked: int, read: int) -> None:
    rows = "\n".join(f"{'the chef stirred the soup ' * 50},{i % 2}" for i in range(8))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}\n")
    path = str(tmp_path / "rows.csv")
    choice = DataChoice(train=path, dev=path, selection_rows=4, max_length=asked)
    data = load_data("mine", choice)
    prepared = prepare(data, choice, "demo")
    alone = encoder_of("demo", data.spec, choice)(data.train)
    assert prepared.encoder.max_length == read
    for split in (prepared.train, prepared.selection, prepared.dev()["dev"], alone):
        assert set(split.lengths) == {read}
    batch = prepared.train.batch(torch.arange(2).numpy())
    batch.pop("labels")
    assert load_classifier("demo", data.spec)(**batch).logits.shape == (2, 2)


def own(folder: Path) -> DataChoice:
    """A file of the user's, of 24 rows."""
    rows = "\n".join(f"{'the chef stirred the soup ' * (1 + i % 3)},{i % 2}" for i in range(24))
    (folder / "rows.csv").write_text(f"text,label\n{rows}\n")
    path = str(folder / "rows.csv")
    return DataChoice(train=path, dev=path, selection_rows=8)


def test_the_interpretation_of_rows_is_part_of_a_step_s_key(tmp_path: Path) -> None:
    choice = own(tmp_path)
    known = read_as(load_data("mine", choice), choice)
    longer = replace(choice, max_length=16)
    scale = replace(choice, kind="regression")
    assert read_as(load_data("mine", choice), choice) == known
    assert read_as(load_data("mine", longer), longer) != known
    assert read_as(load_data("mine", scale), scale) != known
    assert read_as(load_data("yours", choice), choice) != known


def test_a_dense_training_on_longer_texts_is_another(tmp_path: Path) -> None:
    context = Context(f"sqlite:///{tmp_path}/mlflow.db", folder=tmp_path / ".rpmask")
    choice = own(tmp_path)
    request = FinetuneRequest(plan=TrainPlan(epochs=1, batch_size=8, evaluations=1))

    def trained(task: str = "mine", **changed: Any) -> str:
        data = replace(choice, **changed)
        done = finetune_dense(request, context, task=task, model="demo", data=data)
        assert done["task"] == task
        return str(done["run_id"])

    runs = {trained(), trained(max_length=8), trained(task="yours")}
    assert len(runs) == 3
    assert trained() in runs


def test_a_tokenizer_is_part_of_a_model(tmp_path: Path) -> None:
    shutil.copytree(locate("demo").weights, tmp_path / "mine")
    known = source_digest(None, str(tmp_path / "mine"))  # type: ignore[arg-type]
    vocabulary = tmp_path / "mine" / "tokenizer.json"
    vocabulary.write_text(vocabulary.read_text() + "\n")
    assert source_digest(None, str(tmp_path / "mine")) != known  # type: ignore[arg-type]
