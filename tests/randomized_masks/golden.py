"""The recipes whose masks are pinned, and the weights they are drawn from.

`python tests/randomized_masks/golden.py` prints ids and digests as JSON; golden.json holds what it printed.
With `--threads N` and `--reversed` the same masks are drawn another way.
"""

from __future__ import annotations

import argparse
import json

import torch

from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, weights_digest
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.mask_generation import draw_mask, draw_masks
from rpmask.records import MaskRecipe

HEADS = 4


def made_up(rows: int, columns: int, salt: int) -> torch.Tensor:
    """Numbers that look random, made by whole-number arithmetic: the same on every machine."""
    at = torch.arange(rows * columns, dtype=torch.int64)
    mixed = (at * 7919 + salt * 104_729 + (at * at) % 65_521) % 20_011
    return ((mixed - 10_005).float() / 20_011.0).reshape(rows, columns)


def layer(number: int, width: int = 64, inner: int = 160) -> dict[str, torch.Tensor]:
    shapes = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }
    return {
        f"encoder.layer.{number}.{part}.weight": made_up(*shape, salt=7 * number + at)
        for at, (part, shape) in enumerate(shapes.items())
    }


WEIGHTS = {**layer(0), **layer(1)}
# One tensor large enough for the one-pass road.
WEIGHTS["encoder.layer.2.intermediate.dense.weight"] = made_up(600, 500, salt=99)
TENSORS = tuple(
    Prunable(name, tuple(weight.shape), "linear", HEADS) for name, weight in WEIGHTS.items()
)
SOURCE = TensorWeights(WEIGHTS)
DIGEST = weights_digest(SOURCE, TENSORS)
STATISTICS = {
    "wanda": Statistics.of(
        "wanda", {n: made_up(w.shape[1], 1, 5).flatten().abs() for n, w in WEIGHTS.items()}
    ),
    "fisher": Statistics.of(
        "fisher", {n: made_up(*w.shape, salt=3).square() for n, w in WEIGHTS.items()}
    ),
    "taylor": Statistics.of("taylor", {n: made_up(*w.shape, salt=4) for n, w in WEIGHTS.items()}),
}
PARENT = MaskRecipe(DIGEST, seed=1, sparsity=0.54, sample_ratio=3e-3)


def recipe(seed: int, sparsity: float, **knobs: object) -> MaskRecipe:
    kind = str(knobs.get("importance", "magnitude"))
    if kind in STATISTICS:
        knobs["importance_digest"] = STATISTICS[kind].digest
    return MaskRecipe(DIGEST, seed, sparsity, **knobs)  # type: ignore[arg-type]


RECIPES = {
    "control": recipe(0, 0.9375, temperature=0.0),
    "paper": recipe(1, 0.9375),
    "one vote": recipe(2, 0.83, votes=1),
    "many votes": recipe(3, 0.54, votes=400, temperature=0.5),
    "wanda": recipe(4, 0.9, importance="wanda", sample_ratio=3e-3),
    "taylor global": recipe(5, 0.9, importance="taylor", allocation=1.0),
    "fisher blend": recipe(6, 0.9, importance="fisher", allocation=0.35, floor=0.2),
    "2:4": recipe(7, 0.5, granularity="2:4", votes=20),
    "block": recipe(8, 0.75, granularity="block 4x4", votes=20),
    "neuron": recipe(9, 0.5, granularity="neuron", votes=20),
    "head": recipe(10, 0.5, granularity="head", votes=20),
}


def draw(threads: int | None = 1, turned: bool = False) -> dict[str, Mask]:
    """Every pinned mask, and one inside another."""
    tensors = TENSORS[::-1] if turned else TENSORS
    recipes = list(RECIPES.items())[:: -1 if turned else 1]
    masks = draw_masks(
        [found for _, found in recipes], SOURCE, tensors, statistics=STATISTICS, threads=threads
    )
    drawn = {name: mask for (name, _), mask in zip(recipes, masks, strict=True)}
    parent = draw_mask(PARENT, SOURCE, tensors)
    child = recipe(11, 0.83, parent=parent.digest, votes=30)
    drawn["parent"] = parent
    drawn["child"] = draw_mask(child, SOURCE, tensors, parent=parent)
    return drawn


def summary(masks: dict[str, Mask]) -> dict[str, dict[str, str]]:
    """What golden.json holds."""
    return {
        "ids": {name: found.id for name, found in sorted(RECIPES.items())},
        "masks": {name: mask.digest for name, mask in sorted(masks.items())},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reversed", action="store_true")
    given = parser.parse_args()
    print(json.dumps(summary(draw(given.threads, given.reversed)), indent=1))
