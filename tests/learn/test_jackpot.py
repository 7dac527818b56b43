"""A jackpot search moves the mask and nothing else, and goes on after a kill to the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy import TOY_TASK, tiny_bert, toy_rows

from rpmask.errors import RpmaskError, RunFailed
from rpmask.learn.images import encode_images, load_image_processor
from rpmask.learn.jackpot import UnderMask, put_on, search
from rpmask.learn.models import load_classifier
from rpmask.learn.norms import reestimate_norms
from rpmask.learn.observer import Silent
from rpmask.learn.plan import SearchPlan
from rpmask.learn.searchstate import Searched
from rpmask.masks.mask import Mask
from rpmask.masks.sampling import draw_mask
from rpmask.masks.scores import ScoredWeights
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.records import MaskRecipe
from rpmask.tasks.images import DIGITS, load_images

# Gradients of the toy are tiny, so plain SGD needs a rate to match.
SGD = {"optimizer": "sgd", "learning_rate": 300.0, "weight_decay": 0.0}
PLAN = SearchPlan(epochs=4, batch_size=8, optimizer="adam", learning_rate=3e-3)


def magnitude(model: nn.Module, sparsity: float = 0.5) -> Mask:
    tensors, source = find_prunable(model), TensorWeights(model)
    recipe = MaskRecipe(
        weights_digest(source, tensors), seed=0, sparsity=sparsity, temperature=0.0, allocation=1.0
    )
    return draw_mask(recipe, source, tensors)


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def find(folder: Path, plan: SearchPlan = PLAN, model: nn.Module | None = None) -> Searched:
    model = tiny_bert() if model is None else model
    rows, held_out = toy_rows(64), toy_rows(32, seed=1)
    checkpoint = folder / "search.safetensors"
    return search(model, magnitude(model), rows, held_out, TOY_TASK, plan, checkpoint, Silent())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"restriction": "off"},
        {"restriction": "cosine"},
        SGD,
    ],
    ids=["adam", "off", "cosine", "sgd"],
)
def test_every_tensor_is_the_same_bit_for_bit(tmp_path: Path, change: dict[str, Any]) -> None:
    model = tiny_bert()
    before, start = values(model), magnitude(model)
    found = find(tmp_path, replace(PLAN, **change), model)
    after = values(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    assert found.weights_digest_before == found.weights_digest_after
    # It did search: the mask is another, of the same size in every tensor.
    assert sum(epoch.swaps for epoch in found.epochs) > 0
    assert found.epochs[-1].overlap < 1.0
    assert found.mask.counts() == start.counts()


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    found = find(tmp_path)
    assert [epoch.epoch for epoch in found.epochs] == [0, 1, 2, 3, 4]
    assert found.epochs[0].swaps == 0
    assert found.epochs[0].overlap == 1.0
    best = found.epochs[found.best_epoch]
    assert best.metric == max(epoch.metric for epoch in found.epochs)
    assert found.mask.overlap(magnitude(tiny_bert())) == best.overlap
    assert found.epochs[-1].train_loss < found.epochs[1].train_loss


@pytest.mark.parametrize("change", [{}, SGD], ids=["adam", "sgd"])
def test_a_killed_search_goes_on_to_the_same_numbers(
    tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, **change)
    whole = find(tmp_path / "whole", plan)
    steps, original = [], ScoredWeights.update

    def interrupted(self: ScoredWeights, rate: float) -> int:
        steps.append(rate)
        if len(steps) == 21:  # in the third epoch of eight steps
            raise KeyboardInterrupt
        return original(self, rate)

    # A checkpoint in the middle of an epoch, whose sums must go on too.
    monkeypatch.setattr("rpmask.learn.jackpot.CHECKPOINT_STEPS", 5)
    monkeypatch.setattr(ScoredWeights, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find(tmp_path / "killed", plan)
    assert len(steps) == 21
    model = tiny_bert()
    before = values(model)
    resumed = find(tmp_path / "killed", plan, model)
    assert len(steps) == 21 + 32 - 20  # continued from step 20, not from the start
    assert resumed == whole
    assert resumed.weights_digest_after == whole.weights_digest_before
    for name, value in values(model).items():
        assert torch.equal(value, before[name]), name


def test_a_checkpoint_of_another_search_is_refused(tmp_path: Path) -> None:
    find(tmp_path, replace(PLAN, epochs=1))
    with pytest.raises(RpmaskError, match="another search"):
        find(tmp_path, replace(PLAN, epochs=1, seed=1))
    (tmp_path / "search.safetensors").write_bytes(b"not whole")
    with pytest.raises(RpmaskError, match="damaged"):
        find(tmp_path, replace(PLAN, epochs=1))


def test_weights_that_change_fail_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_bert()
    original = ScoredWeights.update

    def meddling(self: ScoredWeights, rate: float) -> int:
        with torch.no_grad():
            model.get_parameter("classifier.bias").add_(1e-6)
        return original(self, rate)

    monkeypatch.setattr(ScoredWeights, "update", meddling)
    with pytest.raises(RunFailed, match="weights changed"):
        find(tmp_path, replace(PLAN, epochs=1), model)


def test_a_loss_that_is_not_finite_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum(1) * float("nan")

    monkeypatch.setattr("rpmask.learn.jackpot.example_losses", broken)
    with pytest.raises(RunFailed, match="not finite at step 0"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"restriction": "linear"}, "linear"),
        ({"optimizer": "adagrad"}, "adagrad"),
        ({"norm_statistics": "thawed"}, "thawed"),
        ({"epochs": 0}, "epochs 0"),
        ({"learning_rate": float("nan")}, "nan"),
    ],
)
def test_plans_that_cannot_be(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(RpmaskError, match=named):
        find(tmp_path, replace(PLAN, **change))


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    data = load_images("digits", train_rows=256)
    processor = load_image_processor("digits")
    return encode_images(data.train, processor), encode_images(data.selection, processor)


@pytest.mark.parametrize("norm_statistics", ["frozen", "reestimated"])
def test_norms_change_only_on_request(
    tmp_path: Path, digits: tuple[Any, Any], norm_statistics: str
) -> None:
    model = load_classifier("digits", DIGITS)
    before, start = values(model), magnitude(model, 0.9)
    plan = SearchPlan(epochs=3, batch_size=16, norm_statistics=norm_statistics)
    found = search(model, start, *digits, DIGITS, plan, tmp_path / "search.safetensors", Silent())
    changed = {n for n, value in values(model).items() if not torch.equal(value, before[n])}
    if norm_statistics == "frozen":
        assert not changed
    else:
        assert changed
        assert all("running_" in name or "num_batches" in name for name in changed)
    assert found.weights_digest_before == found.weights_digest_after
    # A few steps are enough to see that convolutions are searched and the search helps.
    assert found.epochs[found.best_epoch].metric > found.epochs[0].metric + 0.05
    masked = load_classifier("digits", DIGITS)
    put_on(masked, found.mask, digits[0], plan)
    masked.eval()
    batch = digits[1].batch(torch.arange(50).numpy())
    labels = batch.pop("labels")
    right = masked(**batch).logits.argmax(1).eq(labels).float().mean()
    assert float(right) > found.epochs[0].metric


def test_reestimated_statistics_are_the_plain_mean() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1))
    batches = [{"input": torch.tensor([[0.0], [2.0]])}, {"input": torch.tensor([[4.0], [8.0]])}]
    reestimate_norms(model, batches)
    assert model[0].running_mean.tolist() == [3.5]  # of 1 and 6
    assert model[0].running_var.tolist() == [5.0]  # of 2 and 8, unbiased
    assert model[0].momentum == 0.1


def test_under_a_mask_the_model_keeps_its_own_values() -> None:
    model = nn.Linear(2, 1, bias=False)
    under = UnderMask(model, {"weight": torch.tensor([[0.0, 3.0]])})
    own = model.weight.detach().clone()
    assert under(input=torch.ones(1, 2)).tolist() == [[3.0]]
    assert torch.equal(model.weight, own)
