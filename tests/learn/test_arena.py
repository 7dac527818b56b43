"""An arena goes on from a rung to the same numbers, and says when a candidate is broken."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from test_trainer import magnitude
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.learn.arena import Arena, ArenaSetup, Leg, RaceTraining
from rpmask.learn.contenders import OnDisk
from rpmask.learn.ledger import RungLedger
from rpmask.learn.observer import Silent
from rpmask.learn.refit import refit, refit_batches


def arena(folder: Path, **training: float) -> Arena:
    model = tiny_bert()
    model.save_pretrained(folder)
    plan = RaceTraining(**{"full_steps": 8, "batch_size": 8, "learning_rate": 1e-2, **training})
    masks = (magnitude(model, 0.5), magnitude(model, 0.75))
    contenders = OnDisk(str(folder), TOY_TASK, masks)
    return Arena(ArenaSetup(contenders, TOY_TASK, plan, toy_rows(64), toy_rows(32, 1)))


@pytest.mark.parametrize("refit", [0, 64])
@pytest.mark.parametrize("candidate", [0, 1])
def test_two_legs_are_one(candidate: int, refit: int, tmp_path: Path) -> None:
    run = arena(tmp_path, refit=refit)
    whole = run(Leg(candidate, 0, 0, 8, None))
    first = run(Leg(candidate, 0, 0, 3, None))
    run(Leg(1 - candidate, 0, 0, 3, None))  # another candidate in between leaves no trace
    second = arena(tmp_path, refit=refit)(Leg(candidate, 1, 3, 8, first.state))
    assert np.array_equal(whole.losses, second.losses)
    assert whole.metric == second.metric
    assert whole.state == second.state


def test_a_candidate_may_begin_with_refitted_weights(tmp_path: Path) -> None:
    """After a step that moves nothing the state holds what refitting alone makes of the mask."""
    state = arena(tmp_path, refit=64, learning_rate=1e-12)(Leg(1, 0, 0, 1, None)).state
    assert state is not None
    model = tiny_bert()
    mask = magnitude(model, 0.75)
    refit(model, mask, refit_batches(toy_rows(64), 64, 0), Silent())
    held = safetensors.torch.load(state)
    for name in mask.names:
        expected = model.base_model.get_parameter(name)[mask.keep(name)]
        assert torch.allclose(held[f"value/bert.{name}"], expected, atol=1e-6), name


def test_the_state_is_as_sparse_as_the_mask(tmp_path: Path) -> None:
    run = arena(tmp_path)
    half, quarter = (run(Leg(i, 0, 0, 2, None)).state for i in (0, 1))
    assert half is not None
    assert quarter is not None
    assert len(quarter) < len(half)


def test_a_diverging_candidate_is_broken_not_fatal(tmp_path: Path) -> None:
    result = arena(tmp_path, learning_rate=1e30, max_grad_norm=1e30)(Leg(0, 0, 0, 4, None))
    assert math.isnan(result.metric)
    assert np.isnan(result.losses).all()
    assert len(result.losses) == 32
    score, losses = RungLedger(tmp_path / "rungs").put(result)
    assert math.isnan(score.loss)
    assert not np.isfinite(losses).any()
