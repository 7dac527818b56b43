"""Tighten a mask while the weights train, or while they are refitted.

In a training, the sparsity rises from the selected mask's to the target by a cubic, in equal numbers of
steps. Each cut looks at the weights as they are then and keeps a part of what the mask before it kept. The
weights that are left are not refitted: they train on, and a refit at every cut cost time without helping
(`benchmarks/cutting.py`).

Without a training, each matrix is cut once, in the middle of its refit (`train/refit.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from rpmask.heads.splits import Split
from rpmask.masks.granularity import at_sparsity, parse_granularity
from rpmask.masks.mask import Mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.allocation import shrink, total_kept
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.group_votes import top_in_groups
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.randomized_masks.row_votes import draw_in_rows
from rpmask.records import MaskRecipe
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import calibration_rows
from rpmask.train.observer import Silent

CALIBRATION_ROWS = 256


def cuts_by_step(
    before: float, target: float, steps: int, share: float, count: int
) -> dict[int, float]:
    """The sparsity after each cut, by the training step that it comes before.

    The first cut comes before the first step, the last one after `share` of the steps, and always before the
    last step. Where there are fewer steps than cuts, the last cut of a step counts.
    """
    last = max(0, min(round(share * steps), steps - 1))
    found: dict[int, float] = {}
    for number in range(1, count + 1):
        step = round(last * (number - 1) / max(1, count - 1))
        found[step] = target - (target - before) * (1.0 - number / count) ** 3
    return found


@dataclass(frozen=True)
class Tightening:
    """The cuts of one training.

    recipe says how a mask is drawn: importance, allocation, floor, granularity and seed.
    """

    recipe: MaskRecipe
    by_step: Mapping[int, float]
    data: Split
    task: TaskSpec

    def cut(self, model: nn.Module, mask: Mask, step: int) -> Mask:
        """Draw the mask of this cut inside the one before."""
        sparsity = self.by_step[step]
        tensors = find_prunable(model, mask.names)
        seed = int(generator(self.recipe.seed, "tighten", str(step)).integers(2**31))
        kind = self.recipe.importance
        statistics = {}
        training = model.training
        if kind != "magnitude":
            names = [tensor.name for tensor in tensors]
            statistics = calibrate(
                model,
                self.data,
                self.task,
                names,
                [kind],
                seed=seed,
                observer=Silent(),
                rows=calibration_rows(len(self.data), CALIBRATION_ROWS, seed),
            )
        weights = TensorWeights(model)
        recipe = replace(
            self.recipe,
            seed=seed,
            sparsity=sparsity,
            weights_digest=weights_digest(weights, tensors),
            importance_digest=statistics[kind].digest if statistics else None,
            parent=mask.digest,
        )
        model.train(training)
        return draw_mask(recipe, weights, tensors, statistics=statistics, parent=mask)


class RefitCut:
    """The cut of every matrix while it is refitted.

    All output rows lose the same share of their weights; with groups, as 2:4, each keeps its number.
    """

    def __init__(self, mask: Mask, sparsity: float, seed: int, granularity: str = "weight") -> None:
        self._group = parse_granularity(at_sparsity(granularity, sparsity))
        kept = np.array([mask.kept(name) for name in mask.names], dtype=np.int64)
        after = shrink(kept, total_kept(mask.total(), sparsity), least=1)
        self._kept = dict(zip(mask.names, after.tolist(), strict=True))
        self._seed = seed

    def __call__(self, name: str, scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Keep the largest scores of each row, or of each group."""
        allowed, random = keep.numpy(), generator(self._seed, "tighten", name)
        if self._group.kind == "n:m":
            ranked = np.where(allowed, scores.numpy(), -1.0).reshape(-1, self._group.second)
            left = top_in_groups(ranked, self._group.first, random).reshape(allowed.shape)
        else:
            counts = shrink(np.count_nonzero(allowed, axis=1), self._kept[name])
            left = draw_in_rows(scores.numpy(), counts, 0.0, 1, random, allowed)
        return torch.from_numpy(left)
