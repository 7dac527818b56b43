"""A worker continues from a rung to the same numbers, and says when a candidate is broken."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from toy import TOY_TASK, tiny_bert, toy_rows
from train.test_trainer import magnitude

from rpmask.errors import RunFailed
from rpmask.heads.splits import LOGIT_BYTES
from rpmask.randomized_masks.race_files import RungFiles
from rpmask.randomized_masks.race_models import ModelFolders
from rpmask.randomized_masks.race_training import RaceTraining
from rpmask.randomized_masks.race_worker import Leg, RaceSetup, RaceWorker
from rpmask.train import teacher
from rpmask.train.observer import Silent
from rpmask.train.plan import Distillation
from rpmask.train.refit import refit, refit_batches
from rpmask.train.teacher import LiveTeacher


def worker(folder: Path, *, scale: float = 1.0, **training: Any) -> RaceWorker:
    """A worker for a model whose matrices are scaled: unscaled it answers all rows alike."""
    return RaceWorker(setup(folder, scale, **training))


def setup(folder: Path, scale: float = 1.0, **training: Any) -> RaceSetup:
    model = tiny_bert()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale if parameter.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    plan = RaceTraining(**{"full_steps": 8, "batch_size": 8, "learning_rate": 1e-2, **training})
    masks = (magnitude(model, 0.5), magnitude(model, 0.75))
    models = ModelFolders(str(folder), str(folder), TOY_TASK)
    digests = tuple(mask.digest for mask in masks)
    return RaceSetup(models, masks, digests, TOY_TASK, plan, toy_rows(64), toy_rows(32, 1))


DISTILLED: dict[str, Any] = {
    "distill": Distillation(attention=1.0),
    "dropout": 0.0,
    "freeze_embeddings": True,
}


@pytest.mark.parametrize("how", [{}, {"refit": 64}, DISTILLED], ids=["plain", "refit", "distilled"])
@pytest.mark.parametrize("candidate", [0, 1])
def test_two_legs_are_one(candidate: int, how: dict[str, Any], tmp_path: Path) -> None:
    run = worker(tmp_path, **how)
    whole = run(Leg(candidate, 0, 0, 8, None))
    first = run(Leg(candidate, 0, 0, 3, None))
    run(Leg(1 - candidate, 0, 0, 3, None))  # another candidate in between leaves no trace
    second = worker(tmp_path, **how)(Leg(candidate, 1, 3, 8, first.state))
    assert np.array_equal(whole.score.losses, second.score.losses)
    assert (
        (whole.score.distances is None)
        == (second.score.distances is None)
        == (how is not DISTILLED)
    )
    if whole.score.distances is not None:
        assert np.array_equal(whole.score.distances, second.score.distances)
    assert whole.score.metric == second.score.metric
    assert whole.state == second.state
    again = worker(tmp_path, **how)(Leg(candidate, 1, 3, 8, None))  # its state was lost
    assert (again.state, again.train_loss) == (second.state, second.train_loss)
    assert np.array_equal(again.score.losses, second.score.losses)


def test_a_step_in_parts_is_the_step(tmp_path: Path) -> None:
    """Of equally long rows; a part is as many as fit into memory."""
    given = setup(tmp_path, scale=4.0, distill=Distillation(), dropout=0.0)
    rows = [{name: value[:4] for name, value in row.items()} for row in given.train.features]
    whole = replace(given.train, features=rows)
    parts = replace(whole, logit_bytes=LOGIT_BYTES // 3)
    one, other = (
        RaceWorker(replace(given, train=train))(Leg(0, 0, 0, 4, None)) for train in (whole, parts)
    )
    assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
    np.testing.assert_allclose(one.score.losses, other.score.losses, rtol=1e-4)


def test_a_candidate_may_begin_with_refitted_weights(tmp_path: Path) -> None:
    """After a step that moves nothing the state holds what refitting alone makes of the mask."""
    state = worker(tmp_path, refit=64, learning_rate=1e-12)(Leg(1, 0, 0, 1, None)).state
    assert state is not None
    model = tiny_bert()
    mask = magnitude(model, 0.75)
    refit(model, mask, refit_batches(toy_rows(64), 64, 0), Silent())
    held = safetensors.torch.load(state)
    for name in mask.names:
        expected = model.base_model.get_parameter(name)[mask.keep(name)]
        assert torch.allclose(held[f"value/bert.{name}"], expected, atol=1e-6), name


def test_a_mask_is_proved_by_its_digest_where_it_arrives(tmp_path: Path) -> None:
    given = setup(tmp_path)
    swapped = replace(given, masks=(given.masks[1], given.masks[0]))
    with pytest.raises(RunFailed, match="The mask of candidate 0 reached its worker as"):
        RaceWorker(swapped)(Leg(0, 0, 0, 1, None))
    mask = given.masks[0]
    assert mask.digest in vars(mask).values()
    assert vars(pickle.loads(pickle.dumps(mask))).keys() == {
        "bits",
        "shapes",
    }  # no digest to believe


def test_the_state_is_as_sparse_as_the_mask(tmp_path: Path) -> None:
    run = worker(tmp_path)
    half, quarter = (run(Leg(i, 0, 0, 2, None)).state for i in (0, 1))
    assert half is not None
    assert quarter is not None
    assert len(quarter) < len(half)


@pytest.mark.parametrize("how", [{}, DISTILLED], ids=["labels", "distilled"])
def test_a_diverging_candidate_is_broken_not_fatal(tmp_path: Path, how: dict[str, Any]) -> None:
    run = worker(tmp_path, learning_rate=1e30, max_grad_norm=1e30, **how)
    result = run(Leg(0, 0, 0, 4, None))
    assert math.isnan(result.score.metric)
    assert np.isnan(result.score.losses).all()
    assert len(result.score.losses) == 32
    kept = RungFiles(tmp_path / "rungs").put(result)
    assert math.isnan(kept.score.loss)
    assert kept.score.kind == ("distance" if how else "loss")
    assert not np.isfinite(kept.losses).any()
    assert not np.isfinite(kept.values).any()


def test_a_distilled_race_nears_the_dense_model(tmp_path: Path) -> None:
    run = worker(tmp_path, scale=20.0, **DISTILLED, learning_rate=1e-2, full_steps=80)
    early, late = (run(Leg(1, 0, 0, step, None)).score.distances for step in (1, 80))
    assert early is not None
    assert late is not None
    assert (early >= 0).all()
    assert late.mean() < 0.5 * early.mean()


def test_what_is_frozen_is_neither_trained_nor_stored(tmp_path: Path) -> None:
    free, frozen = (
        worker(tmp_path, freeze_embeddings=how)(Leg(0, 0, 0, 4, None)).state
        for how in (False, True)
    )
    assert free is not None
    assert frozen is not None
    kept = [safetensors.torch.load(state) for state in (free, frozen)]
    tables = {f"value/bert.embeddings.{kind}_embeddings.weight" for kind in TABLES}
    assert tables <= kept[0].keys()
    assert not tables & kept[1].keys()


TABLES = ("word", "position", "token_type")


def test_a_teacher_is_asked_once_a_step_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = LiveTeacher.__call__

    def counted(self: LiveTeacher, rows: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Any:
        asked.append(len(rows))
        return ask(self, rows, inputs)

    monkeypatch.setattr(LiveTeacher, "__call__", counted)
    legs = [Leg(i, 0, 0, 4, None) for i in (0, 1)]
    whole = [worker(tmp_path, **DISTILLED)(leg).score.losses for leg in legs]
    run, before = worker(tmp_path, **DISTILLED), len(asked)
    shared = [run(leg).score.losses for leg in legs]
    assert len(asked) - before == 4
    monkeypatch.setattr(teacher, "REMEMBERED_BYTES", 0)
    run, before = worker(tmp_path, **DISTILLED), len(asked)
    forgotten = [run(leg).score.losses for leg in legs]
    assert len(asked) - before == 8
    assert np.array_equal(whole, shared)
    assert np.array_equal(whole, forgotten)
