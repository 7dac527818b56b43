"""Batch norms during a search: what moves, what is kept with the best epoch, what resuming restores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError
from rpmask.heads.splits import encode_images
from rpmask.lottery_jackpots.norms import reestimate_norms
from rpmask.lottery_jackpots.plan import NORM_STATISTICS, SearchPlan
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.lottery_jackpots.search import Search, Searched, put_on
from rpmask.lottery_jackpots.searchable import find_searchable
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import DataChoice, MaskRecipe
from rpmask.tasks.images import DIGITS
from rpmask.tasks.registry import load_task
from rpmask.train.evaluate import evaluate
from rpmask.train.models import load_classifier, load_image_processor
from rpmask.train.observer import Silent

PLAN = SearchPlan(epochs=3, batch_size=16)
Splits = tuple[Any, Any]


@pytest.fixture(scope="module")
def digits() -> Splits:
    data = load_task("digits", DataChoice(train_rows=256))
    processor = load_image_processor("digits")
    return encode_images(data.train, processor), encode_images(data.selection, processor)


def magnitude(model: nn.Module) -> Mask:
    tensors, source = find_searchable(model), TensorWeights(model)
    digest = weights_digest(source, tensors)
    recipe = MaskRecipe(digest, seed=0, sparsity=0.9, temperature=0.0, allocation=1.0)
    return draw_mask(recipe, source, tensors)


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def dense() -> nn.Module:
    return load_classifier("digits", DIGITS)


def find(folder: Path, digits: Splits, plan: SearchPlan, model: nn.Module) -> Searched:
    start, path = magnitude(model), folder / "search.safetensors"
    return Search(model, start, *digits, DIGITS, plan, path, Silent()).run()


def test_the_published_way_is_the_default() -> None:
    plan = SearchPlan()
    assert plan.norm_statistics == "batch"
    assert (plan.epochs, plan.batch_size, plan.optimizer) == (30, 256, "sgd")
    assert (plan.learning_rate, plan.momentum, plan.weight_decay) == (0.1, 0.9, 5e-4)


@pytest.mark.parametrize("norms", NORM_STATISTICS)
def test_running_statistics_move_and_no_parameter_does(
    tmp_path: Path, digits: Splits, norms: str
) -> None:
    model = dense()
    before, plan = values(model), replace(PLAN, norm_statistics=norms)
    found = find(tmp_path, digits, plan, model)
    changed = {n for n, value in values(model).items() if not torch.equal(value, before[n])}
    buffers = {name for name, _ in model.named_buffers()}
    assert changed == (set() if norms == "frozen" else buffers)
    assert found.weights_digest_before == found.weights_digest_after
    moved = found.statistics_digest_before != found.statistics_digest_after
    assert moved == (norms != "frozen")
    # Convolutions are searched, and a few steps are enough to see that it helps.
    gain = {"batch": 0.3, "frozen": 0.02, "reestimated": 0.02}[norms]
    assert found.epochs[found.best_epoch].metric > found.epochs[0].metric + gain


@pytest.mark.parametrize("norms", NORM_STATISTICS)
def test_the_best_epoch_keeps_the_statistics_it_was_evaluated_with(
    tmp_path: Path, digits: Splits, norms: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Statistics go on moving after the best epoch, which is made the first one here.
    monkeypatch.setattr(
        "rpmask.lottery_jackpots.search_state.SearchState._rank", lambda _, epoch: epoch.epoch == 1
    )
    found = find(tmp_path, digits, replace(PLAN, norm_statistics=norms), dense())
    assert found.best_epoch == 1
    for epoch, mask, statistics in (
        (0, magnitude(dense()), found.start_statistics),
        (1, found.mask, found.statistics),
    ):
        model = dense()
        put_on(model, mask, statistics)
        answered = evaluate(model, digits[1], DIGITS)
        assert answered.metrics["accuracy"] == found.epochs[epoch].metric
        # The model multiplies weights that are zero instead of a product: not a bit is different.
        assert answered.loss == found.epochs[epoch].loss


@pytest.mark.parametrize("norms", NORM_STATISTICS)
def test_a_killed_search_resumes_with_its_statistics(
    tmp_path: Path, digits: Splits, norms: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, norm_statistics=norms, augment="crop")
    undisturbed = dense()
    whole = find(tmp_path / "whole", digits, plan, undisturbed)
    original, steps = ScoredWeights.update, []

    def interrupted(self: ScoredWeights, rate: float) -> int:
        steps.append(rate)
        if len(steps) == 24:  # in the second epoch of 16 steps
            raise KeyboardInterrupt
        return original(self, rate)

    monkeypatch.setattr("rpmask.lottery_jackpots.search.CHECKPOINT_STEPS", 7)
    monkeypatch.setattr(ScoredWeights, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find(tmp_path / "killed", digits, plan, dense())
    again = dense()
    resumed = find(tmp_path / "killed", digits, plan, again)
    assert len(steps) == 24 + 48 - 21  # continued from the checkpoint at step 21
    assert resumed == whole
    for kind in ("statistics", "start_statistics"):
        kept, known = getattr(resumed, kind), getattr(whole, kind)
        assert kept.keys() == known.keys()
        assert all(torch.equal(kept[name], known[name]) for name in known)
    left = values(undisturbed)
    assert all(torch.equal(value, left[name]) for name, value in values(again).items())


def test_a_model_without_such_norms_is_searched_the_same_whatever_is_said(tmp_path: Path) -> None:
    plan = SearchPlan(epochs=2, batch_size=8, optimizer="adam", learning_rate=3e-3)
    found = []
    for norms in NORM_STATISTICS:
        model = tiny_bert()
        path = tmp_path / f"{norms}.safetensors"
        rows = toy_rows(64), toy_rows(32, seed=1)
        asked = replace(plan, norm_statistics=norms)
        search = Search(model, magnitude(model), *rows, TOY_TASK, asked, path, Silent())
        found.append(search.run())
        assert found[-1].statistics == {}
        assert found[-1].statistics_digest_after == ""
    assert found[0] == found[1] == found[2]
    assert sum(epoch.swaps for epoch in found[0].epochs) > 0


def test_one_row_has_no_statistics(tmp_path: Path, digits: Splits) -> None:
    with pytest.raises(RpmaskError, match="from a single row"):
        find(tmp_path, digits, replace(PLAN, batch_size=1), dense())


def test_a_checkpoint_knows_the_statistics_it_began_with(tmp_path: Path, digits: Splits) -> None:
    plan = replace(PLAN, epochs=1)
    find(tmp_path, digits, plan, dense())
    other = dense()
    next(value for name, value in other.named_buffers() if "mean" in name).add_(0.1)
    with pytest.raises(RpmaskError, match="another search"):
        find(tmp_path, digits, plan, other)


def test_reestimated_statistics_are_the_plain_mean() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1))
    batches = [{"input": torch.tensor([[0.0], [2.0]])}, {"input": torch.tensor([[4.0], [8.0]])}]
    reestimate_norms(model, batches)
    assert model[0].running_mean.tolist() == [3.5]  # of 1 and 6
    assert model[0].running_var.tolist() == [5.0]  # of 2 and 8, unbiased
    assert model[0].momentum == 0.1
