"""Images are moved and mirrored by seeded amounts, and texts are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.lottery_jackpots.cropping import augmented
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.lottery_jackpots.search import Search
from rpmask.masks.mask import Mask
from rpmask.streams import generator
from rpmask.train.observer import Silent

# A gradient from left to right: its mirror image is no crop of it.
ROWS = 200
PIXELS = torch.arange(1.0, 9.0).expand(ROWS, 1, 8, 8)


def images(kind: str, step: int = 0) -> torch.Tensor:
    batch = {"pixel_values": PIXELS, "other": torch.zeros(1)}
    after = augmented(batch, kind, generator(0, "augment", str(step)))
    assert after["other"] is batch["other"]
    return after["pixel_values"]


def test_none_leaves_the_batch() -> None:
    assert images("none") is PIXELS


def test_a_crop_moves_by_up_to_an_eighth() -> None:
    found = images("crop")
    assert found.shape == PIXELS.shape
    # Of eight pixels one: the middle row is moved by -1, 0 or 1, the gap is filled with zeros.
    middle = {tuple(int(value) for value in row) for row in found[:, 0, 4]}
    moved = {(0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 7, 8), (2, 3, 4, 5, 6, 7, 8, 0)}
    assert middle == moved
    tops = {tuple(bool(row.any()) for row in image[0]) for image in found}
    assert len(tops) == 3  # a row less above, below, or none


def test_a_flip_mirrors_about_half() -> None:
    found = images("crop-flip")
    mirrored = int((found[:, 0, 4, 1] > found[:, 0, 4, 6]).sum())
    assert 70 < mirrored < 130
    assert torch.equal(images("crop-flip"), found)
    assert not torch.equal(images("crop-flip", step=1), found)


def test_texts_have_nothing_to_crop(tmp_path: Path) -> None:
    rows = toy_rows(8)
    with pytest.raises(RpmaskError, match="are not images"):
        Search(
            tiny_bert(), Mask({}, {}), rows, rows, TOY_TASK, SearchPlan(augment="crop"),
            tmp_path / "search.safetensors", Silent(),
        )  # fmt: skip
