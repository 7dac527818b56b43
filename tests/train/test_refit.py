"""Refitting: least squares matrix by matrix, against answers that can be worked out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from toy import TenWeights, tiny_bert, toy_rows
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    XLMConfig,
    XLMForSequenceClassification,
)

from rpmask.masks.mask import Mask
from rpmask.masks.weights import base_of, block_of, find_prunable
from rpmask.train import least_squares as leastsquares
from rpmask.train import refit as refitting
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches


def one_matrix(keep: list[list[int]]) -> Mask:
    return Mask.from_bools({"blocks.0.weight": torch.tensor(keep, dtype=torch.bool)})


def inputs(rows: int = 400) -> torch.Tensor:
    drawn = torch.randn(rows, 5, generator=torch.Generator().manual_seed(0))
    drawn[:, 4] = drawn[:, 0]  # the last input says what the first one says
    return drawn


def test_what_a_kept_weight_can_say_for_a_dropped_one_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leastsquares, "RIDGE", 1e-9)
    model = TenWeights()
    refit(model, one_matrix([[1, 1, 1, 1, 0], [0, 1, 1, 1, 1]]), [{"x": inputs()}], Silent())
    expected = [[6.0, 2.0, 3.0, 4.0, 0.0], [0.0, 7.0, 8.0, 9.0, 16.0]]
    assert torch.allclose(model.blocks[0].weight, torch.tensor(expected), atol=1e-4)


def test_it_is_the_least_squares_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leastsquares, "RIDGE", 1e-9)
    model, seen = TenWeights(), inputs()
    wanted = seen @ model.blocks[0].weight.T
    refit(model, one_matrix([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]), [{"x": seen}], Silent())
    best = np.linalg.lstsq(seen[:, [0, 3]].numpy(), wanted[:, 0].detach().numpy(), rcond=None)[0]
    assert model.blocks[0].weight[0, [0, 3]].tolist() == pytest.approx(best.tolist(), abs=1e-4)
    assert not model.blocks[0].weight[1].any()


def test_a_dense_mask_changes_nothing() -> None:
    model = tiny_bert()
    before = copy.deepcopy(model.state_dict())
    mask = random_mask(model, 0.0)
    refit(model, mask, refit_batches(toy_rows(64), 64, 0), Silent())
    for name, value in model.state_dict().items():
        assert torch.allclose(value, before[name], atol=1e-4), name


@pytest.mark.parametrize("together", [1, 1 << 18])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_model_answers_more_like_the_dense_one(
    family: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many systems are solved together; and dropped weights are zero."""
    monkeypatch.setattr(leastsquares, "MOST_ENTRIES", together)
    dense = tiny(family).eval()
    mask = random_mask(dense, 0.7)
    rows = refit_batches(toy_rows(256), 256, 0)
    plain, refitted = copy.deepcopy(dense), copy.deepcopy(dense).train()
    from rpmask.masks.masked import MaskHold

    MaskHold(plain, mask).apply()
    refit(refitted, mask, rows, Silent())
    assert refitted.training
    MaskHold(refitted, mask).verify()
    unseen = {k: v for k, v in toy_rows(200, seed=1).batch(np.arange(200)).items() if k != "labels"}
    with torch.no_grad():
        states = [
            network.eval().base_model(**unseen).last_hidden_state[unseen["attention_mask"].bool()]
            for network in (dense, plain, refitted)
        ]
    assert (states[2] - states[0]).norm() < 0.6 * (states[1] - states[0]).norm()


def test_a_matrix_that_two_places_share_keeps_its_values() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(self.first(x)))

    model = Shared()
    before = copy.deepcopy(model.first.weight)
    keep = torch.ones(5, 5, dtype=torch.bool)
    keep[0, 0] = False
    mask = Mask.from_bools({"first.weight": keep, "last.weight": keep})
    assert refit(model, mask, [{"x": inputs()}], Silent()).matrices == 1
    assert torch.equal(model.first.weight, before * keep)
    shared = Mask.from_bools({"first.weight": keep})
    assert refit(model, shared, [{"x": inputs()}], Silent()).matrices == 0


def test_convolutions_are_masked_and_keep_their_values() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2))
    before = copy.deepcopy(model[0].weight)
    keep = torch.rand(before.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    mask = Mask.from_bools({"0.weight": keep})
    assert refit(model, mask, [{"input": torch.ones(1, 3, 4, 4)}], Silent()).matrices == 0
    assert torch.equal(model[0].weight, before * keep)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("family", ["bert", "gpt2", "xlm"])
def test_leaving_blocks_out_changes_nothing(
    family: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are done answer what they answered; the weights are those of whole forward passes."""
    short, whole = (tiny(family, layers).eval().double() for _ in range(2))
    mask = random_mask(short, 0.7)
    rows = refit_batches(toy_rows(100), 100, 0)
    refit(short, mask, rows, Silent())
    monkeypatch.setattr(refitting.Passes, "replay", lambda *_: None)
    refit(whole, mask, rows, Silent())
    assert_same(short, whole)
    unseen = {k: v for k, v in toy_rows(8, seed=1).batch(np.arange(8)).items() if k != "labels"}
    with torch.no_grad():  # and no block answers for another one any more
        assert torch.allclose(short(**unseen).logits, whole(**unseen).logits, rtol=0, atol=1e-6)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    """Equal weights. In doubles, since a small system can blow up the last digits of a product."""
    for (name, ours), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlm"])
def test_blocks_that_are_not_pruned_are_computed_once(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first and the last of four blocks are pruned; the weights are those of whole passes."""
    short, whole = (tiny(family, 4).eval().double() for _ in range(2))
    kept = random_mask(short, 0.7)
    ends = [name for name in kept.names if block_of(name).endswith((".0", ".3"))]
    mask = Mask.from_bools({name: kept.keep(name) for name in ends})
    rows = refit_batches(toy_rows(100), 100, 0)
    calls: list[str] = []
    second = next(name for name in kept.names if ".1." in name)
    matrix = base_of(short).get_submodule(second.rpartition(".")[0])
    matrix.register_forward_pre_hook(lambda *_: calls.append(second))
    refit(short, mask, rows, Silent())
    passes = len(refitting.merged(rows))
    assert (
        len(calls) == 2 * passes + 3
    )  # by each model; once more for the groups, and for each order
    monkeypatch.setattr(refitting.Passes, "_skipped", lambda *_: [])
    refit(whole, mask, rows, Silent())
    assert_same(short, whole)


def tiny(family: str, layers: int = 2) -> nn.Module:
    """A small classifier with Linear matrices, or with GPT-2's transposed ones."""
    if family == "bert":
        return tiny_bert(layers)
    if family == "xlm":  # attention and feed-forward blocks are two lists, and neither is a chain
        found = XLMConfig(
            vocab_size=20, emb_dim=16, n_layers=layers, n_heads=2, max_position_embeddings=16
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            return XLMForSequenceClassification(found)
    config = GPT2Config(
        vocab_size=20, n_positions=16, n_embd=16, n_layer=layers, n_head=2, pad_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return GPT2ForSequenceClassification(config)


def random_mask(model: nn.Module, sparsity: float) -> Mask:
    drawn = torch.Generator().manual_seed(0)
    return Mask.from_bools(
        {
            tensor.name: torch.rand(tensor.shape, generator=drawn) >= sparsity
            for tensor in find_prunable(model)
        }
    )


def test_inputs_that_are_no_numbers_leave_the_values_alone() -> None:
    model = TenWeights()
    mask = one_matrix([[1, 0, 0, 1, 0], [1, 1, 1, 1, 1]])
    refit(model, mask, [{"x": torch.full((4, 5), float("nan"))}], Silent())
    assert model.blocks[0].weight[1].tolist() == [6.0, 7.0, 8.0, 9.0, 10.0]
    assert model.blocks[0].weight[0].tolist() == [1.0, 0.0, 0.0, 4.0, 0.0]


@pytest.mark.parametrize("density", [0.1, 0.6])
def test_both_solvers_find_the_same_weights(
    density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error that conjugate gradients leave is within 1e-5 of the least."""
    random = torch.Generator().manual_seed(0)
    seen = torch.randn(900, 60, generator=random) @ torch.randn(60, 60, generator=random)
    seen = torch.cat([seen, torch.ones(900, 1)], dim=1)
    gram, start = seen.T @ seen, torch.randn(61, 8, generator=random)
    keep = torch.rand(8, 60, generator=random) < density
    found = []
    monkeypatch.setattr(leastsquares, "ITERATIONS", 60)
    for cost in (0.0, 1e9):
        monkeypatch.setattr(leastsquares, "FACTORIZATION_COST", cost)
        found.append(leastsquares.solve_kept(gram, gram @ start, start, keep, True))
    errors = [float(((seen @ (each - start)) ** 2).sum()) for each in found]
    assert errors[1] == pytest.approx(errors[0], rel=1e-5)
    assert all(not each[:-1][~keep.T].any() for each in found)


def test_the_solver_is_chosen_by_how_many_weights_are_kept() -> None:
    few, many = (torch.rand(576, 577) < density for density in (0.06, 0.5))
    assert not leastsquares._many_kept(few, on_gpu=False)
    assert leastsquares._many_kept(many, on_gpu=False)


def test_few_rows_pull_harder_to_the_old_values() -> None:
    """A unit that is fitted to as many rows as it has weights would fit their noise."""
    random = torch.Generator().manual_seed(0)
    start, keep = torch.randn(41, 30, generator=random), torch.ones(30, 40, dtype=torch.bool)
    moved = []
    for rows in (50, 5000):
        seen = torch.cat([torch.randn(rows, 40, generator=random), torch.ones(rows, 1)], dim=1)
        noise = 0.5 * torch.randn(rows, 30, generator=random)
        solved = leastsquares.solve_kept(
            seen.T @ seen, seen.T @ (seen @ start + noise), start, keep, True
        )
        moved.append(float((solved - start).square().mean()))
    assert moved[1] < 0.25 / 5000 * 1.2
    assert moved[0] < 0.25 / 50 * 0.9  # without a ridge at least 0.25 / (50 - 41) of it is left
