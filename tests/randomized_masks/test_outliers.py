"""Shares by outliers: by hand, and exact in a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.allocation import allocate, parse_allocation
from rpmask.randomized_masks.keep_probability import Histogram
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.outliers import SPREAD, outlier_densities
from rpmask.records import OWL_ALLOCATION, MaskRecipe


def histogram(outliers: int, others: int) -> Histogram:
    values = np.array([100.0] * outliers + [1.0] * others, dtype=np.float32)
    return Histogram.of(values)


def test_by_hand() -> None:
    """Shares of outliers 0, 1/20 and 1/10: the densities are as far apart as the shares."""
    found = {
        "layers.0.a": histogram(0, 100),
        "layers.1.a": histogram(5, 95),
        "layers.2.a": histogram(10, 90),
    }
    densities = outlier_densities(list(found), found, 0.3)
    assert densities.tolist() == pytest.approx([0.3 - SPREAD, 0.3, 0.3 + SPREAD])
    sizes = dict.fromkeys(found, 100)
    kept = allocate(sizes, 0.7, allocation=OWL_ALLOCATION, histograms=found)
    assert kept == {"layers.0.a": 22, "layers.1.a": 30, "layers.2.a": 38}


def test_the_tensors_of_a_block_share_one_density_and_alike_blocks_all() -> None:
    found = {
        "layers.0.a": histogram(10, 90),
        "layers.0.b": histogram(0, 300),
        "layers.1.a": histogram(0, 400),
    }
    densities = outlier_densities(list(found), found, 0.5)
    assert densities[0] == densities[1] > 0.5 > densities[2]
    alike = {name: histogram(1, 99) for name in found}
    assert outlier_densities(list(alike), alike, 0.5).tolist() == pytest.approx([0.5] * 3)


def test_a_mask_keeps_rows_alike_and_the_total() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Module()
        model.layers = torch.nn.ModuleList([torch.nn.Linear(64, 40), torch.nn.Linear(40, 64)])
        with torch.no_grad():
            model.layers[0].weight[:, :3] *= 30
    tensors, source = find_prunable(model), TensorWeights(model)
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=0,
        sparsity=0.6,
        temperature=0.0,
        allocation=parse_allocation("owl"),
    )
    mask = draw_mask(recipe, source, tensors)
    assert mask.kept() == round(0.4 * 2 * 64 * 40)
    densities = []
    for name in mask.names:
        keep = mask.keep(name)
        counts = keep.sum(1)
        assert int(counts.max() - counts.min()) <= 1
        densities.append(float(keep.float().mean()))
    assert densities == pytest.approx([0.4 + SPREAD, 0.4 - SPREAD], abs=0.01)
