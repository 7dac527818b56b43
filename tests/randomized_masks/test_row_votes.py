"""Draws within output rows: exact counts, the limit without noise, and the frequencies of plain draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rpmask.errors import RpmaskError
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks import row_votes
from rpmask.randomized_masks.allocation import parse_allocation, share_rows
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.row_votes import draw_in_rows
from rpmask.randomized_masks.twins import twin_of
from rpmask.records import ROW_ALLOCATION, MaskRecipe


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_largest_of_every_row_by_hand() -> None:
    scores = np.array([[1, 2, 3, 4], [9, 8, 7, 6]], dtype=np.float32)
    keep = draw_in_rows(scores, np.array([1, 2]), 0.0, 1, random())
    assert keep.tolist() == [[False, False, False, True], [True, True, False, False]]


def test_what_a_parent_dropped_stays_dropped() -> None:
    scores = np.array([[1, 2, 3, 4]], dtype=np.float32)
    allowed = np.array([[True, True, True, False]])
    assert draw_in_rows(scores, np.array([2]), 0.0, 1, random(), allowed).tolist() == [
        [False, True, True, False]
    ]


def test_shares_of_rows_by_hand() -> None:
    assert share_rows(7, np.array([4, 4, 4])).tolist() == [3, 2, 2]
    assert share_rows(7, np.array([1, 4, 4])).tolist() == [1, 3, 3]
    assert share_rows(5, np.array([0, 4, 1])).tolist() == [0, 4, 1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_are_exact(data: st.DataObject) -> None:
    rows, size = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([3, 8, 80]))
    scores = random(data.draw(st.integers(0, 99))).integers(0, 4, (rows, size)).astype(np.float32)
    kept = np.array(data.draw(st.lists(st.integers(0, size), min_size=rows, max_size=rows)))
    temperature = data.draw(st.sampled_from([0.0, 0.05, 0.5, 5.0]))
    keep = draw_in_rows(scores, kept, temperature, data.draw(st.sampled_from([1, 7])), random())
    assert keep.sum(axis=1).tolist() == kept.tolist()
    zeros_kept, positive_dropped = (keep & (scores == 0)).any(axis=1), (~keep & (scores > 0)).any(1)
    assert not (zeros_kept & positive_dropped).any()


def test_one_pass_keeps_as_often_as_plain_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inclusion frequencies of 600 masks each, on a row of 200 units with 60 kept."""
    scores = np.exp(random(1).normal(size=(1, 200))).astype(np.float32)
    found = []
    for short in (0, 1000):
        monkeypatch.setattr(row_votes, "SHORT", short)
        draws = random(2)
        masks = [draw_in_rows(scores, np.array([60]), 0.7, 9, draws)[0] for _ in range(600)]
        found.append(np.mean(masks, axis=0))
    spread = np.sqrt(np.maximum(found[1] * (1 - found[1]), 1e-3) * 2 / 600)
    z = (found[0] - found[1]) / spread
    assert abs(z.mean()) < 0.3
    assert z.std() < 1.3
    largest = np.argsort(-scores[0])[:60]
    assert 0.5 < found[0][largest].mean() < 0.95  # the draws are random at all


@pytest.mark.parametrize("temperature", [0.02, 0.2, 2.0])
def test_the_chances_of_a_row_add_up_to_what_it_keeps(temperature: float) -> None:
    scores = np.exp(2 * random(3).normal(size=(40, 300)))
    scores[::2, :100] = 0.0
    kept = random(4).integers(1, 200, 40)  # of some rows, all that have any importance
    kept[0], kept[1], kept[2] = 0, 300, 200
    with np.errstate(divide="ignore"):
        chances = row_votes.chances(np.log(scores) / temperature, kept)
    assert chances.sum(axis=1) == pytest.approx(kept, abs=1e-6)
    order = np.argsort(scores, axis=1)
    assert (np.diff(np.take_along_axis(chances, order, axis=1)) >= 0).all()


def drawn(allocation: float, **changed: object) -> tuple[Mask, torch.nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = torch.nn.ModuleList([torch.nn.Linear(90, 33), torch.nn.Linear(33, 90)])
        model = torch.nn.Module()
        model.layers = layers
    tensors = find_prunable(model)
    source = TensorWeights(model)
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=3,
        sparsity=0.7,
        allocation=allocation,
        **changed,  # type: ignore[arg-type]
    )
    return draw_mask(recipe, source, tensors), model


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_rows_of_a_mask_keep_alike_and_tensors_as_many_as_uniform(temperature: float) -> None:
    mask, model = drawn(ROW_ALLOCATION, temperature=temperature, sample_ratio=1e-2)
    uniform, _ = drawn(0.0, temperature=temperature, sample_ratio=1e-2)
    for name in mask.names:
        counts = mask.keep(name).sum(1)
        assert int(counts.max() - counts.min()) <= 1
        assert int(counts.sum()) == int(uniform.keep(name).sum())
    if temperature == 0.0:
        weight = model.layers[0].weight.abs()
        keep = mask.keep("layers.0.weight")
        for row in range(33):
            assert weight[row][keep[row]].min() >= weight[row][~keep[row]].max()


def test_a_twin_keeps_as_many_in_each_row() -> None:
    mask, model = drawn(ROW_ALLOCATION, temperature=0.0)
    source, tensors = TensorWeights(model), find_prunable(model)
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=3,
        sparsity=0.7,
        temperature=0.0,
        allocation=ROW_ALLOCATION,
    )
    twin = draw_mask(twin_of(recipe, 1), source, tensors)
    for name in mask.names:
        assert twin.keep(name).sum(1).tolist() == mask.keep(name).sum(1).tolist()
    assert 0.9 < twin.overlap(mask) < 1.0


def test_it_is_named_row_and_refused_for_structures() -> None:
    assert parse_allocation("row") == ROW_ALLOCATION
    with pytest.raises(RpmaskError, match="not between 0 and 1"):
        parse_allocation("-1")
    recipe = MaskRecipe(weights_digest="", seed=0, sparsity=0.5, allocation=ROW_ALLOCATION)
    with pytest.raises(RpmaskError, match="is no part of a row"):
        draw_mask(replace(recipe, granularity="neuron"), TensorWeights(torch.nn.Module()), [])
