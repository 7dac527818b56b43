"""A follower trains what the leader announces, under the mask that it announces, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rpmask import ranks
from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import save_mask
from rpmask.records import DataChoice
from rpmask.steps import training
from rpmask.steps.resolve import MASK_FILE
from rpmask.steps.training import Training, follow

MASK = Mask.from_bools({"a.weight": torch.tensor([[True, False], [False, True]])})
OTHER = Mask.from_bools({"a.weight": torch.tensor([[False, True], [True, False]])})


def announced(folder: Path, mask: Mask | None) -> Training:
    if mask is not None:
        save_mask(mask, folder / MASK_FILE)
    return Training(
        task="demo",
        start="demo",
        teacher=None,
        mask=MASK.digest if mask is not None else None,
        folder=str(folder),
        data=DataChoice(train_rows=16, selection_rows=8),
    )


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Training, str | None, int]]:
    """What the follower trains, in place of the training."""
    seen = []

    def note(told: Training, mask: Mask | None, prepared: Any, _: Any) -> None:
        seen.append((told, mask.digest if mask else None, len(prepared.train)))

    monkeypatch.setattr(training, "fit", note)
    monkeypatch.setattr(training, "LEADER_SECONDS", 0.0)
    return seen


def hears(monkeypatch: pytest.MonkeyPatch, *words: Training) -> None:
    spoken: Iterator[Training | None] = iter([*words, None])

    def hear(_: int) -> dict[str, Any] | None:
        word = next(spoken)
        return word.to_dict() if word else None

    monkeypatch.setattr(ranks, "hear", hear)


def test_every_training_is_taken_part_in_until_dismissed(
    tmp_path: Path, fitted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dense").mkdir()
    dense, masked = announced(tmp_path / "dense", None), announced(tmp_path, MASK)
    hears(monkeypatch, dense, masked)
    follow()
    assert fitted == [(dense, None, 16), (masked, MASK.digest, 16)]


def test_another_mask_than_announced_is_not_trained(
    tmp_path: Path, fitted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, announced(tmp_path, OTHER))
    with pytest.raises(RpmaskError, match="not the one that rank 0 trains"):
        follow()
    assert fitted == []


def test_alone_unless_all_of_torchruns_names_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(ranks.LAUNCHED, ("1", "2", "localhost", "29500"), strict=True):
        assert ranks.world_size() == 1
        assert not ranks.is_follower()
        monkeypatch.setenv(name, value)
    assert ranks.world_size() == 2
    assert ranks.is_follower()
    assert ranks.share_of(32) == 16
    monkeypatch.setenv("RANK", "0")
    assert not ranks.is_follower()
