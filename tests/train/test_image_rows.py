"""Images as rows: processed the same whether kept in memory or read as asked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import tiny_bert

from rpmask.errors import RpmaskError
from rpmask.heads.splits import ImageRows, encode_images
from rpmask.masks.weights import find_prunable
from rpmask.records import DataChoice
from rpmask.tasks.images import DIGITS
from rpmask.tasks.registry import load_task
from rpmask.train.batches import training_order
from rpmask.train.evaluate import evaluate
from rpmask.train.models import has_head, load_classifier, load_image_processor, skeleton


@pytest.fixture(scope="module")
def rows() -> ImageRows:
    data = load_task("digits", DataChoice(train_rows=70))
    return encode_images(data.train, load_image_processor("digits"))


def test_kept_or_read_it_is_the_same(rows: ImageRows, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.array([69, 3, 3])
    kept = rows.batch(chosen)
    assert kept["pixel_values"].shape == (3, 3, 32, 32)
    monkeypatch.setattr("rpmask.heads.splits.KEPT_BYTES", 1000)
    read = encode_images(rows.split, rows.processor)
    assert read._kept is None
    for name, value in read.batch(chosen).items():
        assert torch.equal(value, kept[name]), name
    collated = rows.collate([rows[int(i)] for i in chosen])
    assert torch.equal(collated["pixel_values"], kept["pixel_values"])
    assert torch.equal(collated["labels"], kept["labels"])


def test_taken_rows_are_those_rows(rows: ImageRows) -> None:
    part = rows.take(np.array([5, 9]))
    assert len(part) == 2
    assert torch.equal(
        part.batch(np.array([1]))["pixel_values"], rows.batch(np.array([9]))["pixel_values"]
    )


def test_rows_cross_processes(rows: ImageRows) -> None:
    # Worker processes of a race get their rows this way; files are never read like this.
    again = pickle.loads(pickle.dumps(rows))
    assert torch.equal(
        again.batch(np.array([7]))["pixel_values"], rows.batch(np.array([7]))["pixel_values"]
    )


def test_every_epoch_sees_other_orders(rows: ImageRows) -> None:
    order = training_order(rows, 10, 14, seed=0)
    first, second = np.concatenate(order[:7]), np.concatenate(order[7:])
    assert sorted(first) == sorted(second) == list(range(70))
    assert first.tolist() != second.tolist()


def test_the_built_in_model_is_what_it_says() -> None:
    model = load_classifier("digits", DIGITS)
    assert has_head("digits", DIGITS)
    data = load_task("digits")
    dev = encode_images(data.dev["dev"], load_image_processor("digits"))
    assert evaluate(model, dev, DIGITS).metrics["accuracy"] >= 0.975
    tensors = find_prunable(skeleton("digits", DIGITS))
    assert {tensor.kind for tensor in tensors} == {"conv2d"}
    assert {tensor.shape[0] for tensor in tensors} == {16, 32, 64}
    assert not any("embedder" in tensor.name for tensor in tensors)


def test_a_text_model_has_no_processor(tmp_path: Path) -> None:
    tiny_bert().save_pretrained(tmp_path)
    with pytest.raises(RpmaskError, match="no image processor"):
        load_image_processor(str(tmp_path))
