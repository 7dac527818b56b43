"""Reach a sparsity in sub-steps: calibrate, prune, refit, and again, without any training.

Which weights matter changes as others go. One look at the dense model says little about a model that has lost
97 % of its weights; a look after each of a few cuts, with the kept weights refitted in between, says much
more. Only the importances of the last look are kept. Masks are drawn around them as around any others, for
the weights that the first cut began with: a refit depends on the mask, not on the cuts that led to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from rpmask.heads.splits import Split
from rpmask.masks.granularity import parse_granularity
from rpmask.masks.mask import Mask
from rpmask.masks.weights import Prunable, TensorWeights, base_of, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.importance import Statistics, score
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import MaskRecipe
from rpmask.tasks.spec import TaskSpec
from rpmask.train.memory import sharing
from rpmask.train.observer import Observer, Silent
from rpmask.train.refit import refit, refit_batches

KEPT_SHARE = 0.42  # of what is left, by a usual sub-step: four of them reach 97 %


def usual_substeps(sparsity: float, before: float, granularity: str) -> int:
    """Sub-steps from one sparsity to the next; n:m groups have one sparsity, and so one step."""
    if parse_granularity(granularity).kind == "n:m":
        return 1
    share = (1.0 - sparsity) / (1.0 - before)
    return max(1, round(math.log(share) / math.log(KEPT_SHARE)))


def sparsities(sparsity: float, before: float, substeps: int) -> Iterator[float]:
    """The sparsities of all sub-steps but the last: each keeps the same share of what is left."""
    share = (1.0 - sparsity) / (1.0 - before)
    for step in range(1, substeps):
        yield 1.0 - (1.0 - before) * share ** (step / substeps)


def importance_after_substeps(
    model: nn.Module,
    data: Split,
    spec: TaskSpec,
    tensors: Sequence[Prunable],
    recipe: MaskRecipe,
    parent: Mask | None,
    *,
    substeps: int,
    observer: Observer,
) -> Statistics:
    """Prune a copy of the model in sub-steps as the recipe says, and return the last importances.

    The recipe names the importance, its allocation, the seed and the final sparsity. All rows of `data` are
    used to calibrate and to refit.
    """
    pruned = sharing(model)
    base = base_of(pruned)
    names = [tensor.name for tensor in tensors]
    batches = refit_batches(data, len(data), recipe.seed)
    kind, mask = recipe.importance, parent
    before = parent.sparsity if parent is not None else 0.0
    stages = list(sparsities(recipe.sparsity, before, substeps))
    for number, sparsity in enumerate([*stages, None], start=1):
        found = calibrate(pruned, data, spec, names, [kind], seed=recipe.seed, observer=Silent())[
            kind
        ]
        observer.progress(number, substeps, "sub-steps")
        if sparsity is None:
            break
        weights = TensorWeights(pruned)
        cut = replace(
            recipe,
            sparsity=sparsity,
            temperature=0.0,
            weights_digest=weights_digest(weights, tensors),
            importance_digest=found.digest,
            parent=mask.digest if mask else None,
        )
        mask = draw_mask(cut, weights, tensors, statistics={kind: found}, parent=mask)
        pruned = sharing(model)
        base = base_of(pruned)
        refit(pruned, mask, batches, Silent())
    if substeps == 1:
        return found
    values = {}
    for tensor in tensors:
        weight = base.get_parameter(tensor.name)
        scores = torch.from_numpy(score(kind, weight, found.tensors[tensor.name], tensor=tensor))
        if mask is not None and tensor.name in mask.names:
            # Above zero wherever the mask keeps: zero stands for dropped.
            least = torch.finfo(torch.float32).tiny
            scores = scores.clamp_min(least) * mask.keep(tensor.name)
        values[tensor.name] = scores
    return Statistics.of(kind, values, substeps)
