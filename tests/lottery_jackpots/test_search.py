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
from rpmask.heads.splits import LOGIT_BYTES
from rpmask.lottery_jackpots import search as jackpot
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.lottery_jackpots.search import Search, Searched, UnderMask
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import MaskRecipe
from rpmask.train.observer import Silent

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
    start = magnitude(model)
    return Search(model, start, rows, held_out, TOY_TASK, plan, checkpoint, Silent()).run()


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


def test_a_step_in_parts_is_the_step(tmp_path: Path) -> None:
    """A part is as many rows as fit into memory."""
    found = []
    for logit_bytes in (0, LOGIT_BYTES // 3):
        model = tiny_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        rows = replace(toy_rows(64), logit_bytes=logit_bytes)
        plan = replace(PLAN, epochs=2)
        place = tmp_path / f"{logit_bytes}.safetensors"
        search = Search(
            model, magnitude(model), rows, toy_rows(32), TOY_TASK, plan, place, Silent()
        )
        found.append(search.run())
    one, other = (each.epochs[-1] for each in found)
    assert one.swaps > 0
    assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
    assert found[0].mask.overlap(found[1].mask) > 0.999


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
    monkeypatch.setattr("rpmask.lottery_jackpots.search.CHECKPOINT_STEPS", 5)
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
    def broken(task: Any, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        return outputs.logits.sum(1) * float("nan")

    monkeypatch.setattr("rpmask.lottery_jackpots.search.example_losses", broken)
    with pytest.raises(RunFailed, match="not finite at step 0"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"restriction": "linear"}, "linear"),
        ({"optimizer": "adagrad"}, "adagrad"),
        ({"norm_statistics": "thawed"}, "thawed"),
        ({"augment": "mirror"}, "mirror"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"learning_rate": float("nan")}, "nan"),
    ],
)
def test_plans_that_cannot_be(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(RpmaskError, match=named):
        find(tmp_path, replace(PLAN, **change))


def test_the_rates_fall_once_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, asked = [], []
    original, update = jackpot.restriction_rate, ScoredWeights.update

    def recorded(kind: str, done: float) -> float:
        asked.append((kind, done))
        return original(kind, done)

    def updated(self: ScoredWeights, rate: float) -> int:
        rates.append(rate)
        return update(self, rate)

    monkeypatch.setattr(jackpot, "restriction_rate", recorded)
    monkeypatch.setattr(ScoredWeights, "update", updated)
    find(tmp_path)
    # Four epochs of eight steps; nothing is rounded up, so that the restriction restricts.
    assert rates == [(1 - epoch / 4) ** 4 for epoch in range(4) for _ in range(8)]
    learning = [done for kind, done in asked if kind == "cosine"]
    assert learning == [epoch / 4 for epoch in range(4) for _ in range(8)]


def test_under_a_mask_the_model_keeps_its_own_values() -> None:
    model = nn.Linear(2, 1, bias=False)
    under = UnderMask(model, {"weight": torch.tensor([[0.0, 3.0]])})
    own = model.weight.detach().clone()
    assert under(input=torch.ones(1, 2)).tolist() == [[3.0]]
    assert torch.equal(model.weight, own)
