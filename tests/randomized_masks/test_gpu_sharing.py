"""How many candidates a GPU holds: the estimate by hand, the places by hand, and the truth on a device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy import TOY_TASK, tiny_bert, toy_rows
from train.test_trainer import magnitude

from rpmask.randomized_masks.gpu_sharing import CONTEXT_BYTES, candidate_bytes, places, seeing
from rpmask.randomized_masks.race_models import ModelFolders
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.randomized_masks.race_worker import Leg, RaceSetup, RaceWorker
from rpmask.train.plan import LABELS_ONLY, Distillation

GIB = 1 << 30


def test_estimate_by_hand() -> None:
    model = tiny_bert()  # two layers, 16 wide, two heads
    parameters = sum(p.numel() for p in model.parameters())
    row = 2 * 16 * (17 * 16 + 2.5 * 2 * 16)  # 10 tokens are padded to 16
    by_hand = 1.2 * (17 * parameters + 4 * 8 * row)
    assert candidate_bytes(model, 8, 10) == CONTEXT_BYTES + int(by_hand)


def test_no_estimate_of_what_is_no_transformer() -> None:
    assert candidate_bytes(torch.nn.Linear(3, 3), 8, 1) is None


@pytest.mark.parametrize(
    ("free", "need", "most", "expected"),
    [
        ([10 * GIB], 3 * GIB, 8, [0, 0, 0]),
        ([10 * GIB], 3 * GIB, 2, [0, 0]),
        ([10 * GIB, 6 * GIB], 3 * GIB, 8, [0, 0, 1, 0, 1]),
        ([2 * GIB], 3 * GIB, 8, [0]),  # the estimate may be wrong: one is always tried
        ([2 * GIB, 4 * GIB], None, 8, [1, 0]),  # unknown: one on each
        ([10 * GIB, 10 * GIB], 0, 4, [0, 0, 0, 0]),
    ],
)
def test_places(free: list[int], need: int | None, most: int, expected: list[int]) -> None:
    assert places(free, need, most) == expected


def test_a_process_sees_one_of_the_devices_that_we_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    assert seeing(1) == {"CUDA_VISIBLE_DEVICES": "7"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert seeing(1) == {"CUDA_VISIBLE_DEVICES": "1"}


def test_a_teacher_takes_memory_too() -> None:
    model = tiny_bert()
    alone, taught, mapped = (
        candidate_bytes(model, 32, 10, terms)
        for terms in (LABELS_ONLY, Distillation(), Distillation(attention=1.0))
    )
    assert alone is not None
    assert taught is not None
    assert mapped is not None
    assert alone < taught < mapped


@pytest.mark.gpu
@pytest.mark.parametrize("terms", [LABELS_ONLY, Distillation(), Distillation(attention=1.0)])
def test_the_estimate_covers_what_a_candidate_takes(tmp_path: Path, terms: Distillation) -> None:
    model = tiny_bert()
    model.save_pretrained(tmp_path)
    models, mask = ModelFolders(str(tmp_path), str(tmp_path), TOY_TASK), magnitude(model, 0.5)
    training = RaceTraining(full_steps=4, batch_size=32, distill=terms)
    rows = toy_rows(64), toy_rows(32)
    setup = RaceSetup(models, (mask,), (mask.digest,), TOY_TASK, training, *rows)
    torch.cuda.reset_peak_memory_stats()
    RaceWorker(setup)(Leg(0, 0, 0, 4, None))
    assert torch.cuda.max_memory_reserved() <= candidate_bytes(model, 32, 10, terms)
