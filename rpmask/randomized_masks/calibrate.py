"""Compute the statistics of data-aware importances in a pass over a calibration set.

wanda and sparsegpt: see `input_statistics.py`. taylor: mean gradient of the loss. fisher: mean squared
gradient over small groups of examples, the diagonal of the empirical Fisher information. true-fisher: the
same with labels drawn from the model's own outputs, softened as distillation softens them: it measures how
far the outputs move, right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.heads.outputs import example_means
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.masks.weights import base_of
from rpmask.randomized_masks.importance import Statistics
from rpmask.randomized_masks.input_statistics import KINDS as INPUT_KINDS
from rpmask.randomized_masks.input_statistics import input_statistics
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.observer import Observer

GRADIENT_ROWS = 4  # examples per squared gradient: fewer is closer to the Fisher, more is faster
SOFTENED = 2.0  # temperature of the outputs that labels are drawn from


def calibrate(
    model: nn.Module,
    data: Split,
    spec: TaskSpec,
    tensors: Sequence[str],
    kinds: Sequence[str],
    *,
    seed: int,
    observer: Observer,
    rows: np.ndarray | None = None,
) -> dict[str, Statistics]:
    """Statistics of the given kinds over these rows of `data`, or all of them, in evaluation mode.

    `seed` is for drawing labels.
    """
    base = base_of(model)
    parameters = {name: base.get_parameter(name) for name in tensors}
    device = next(model.parameters()).device
    if rows is None:
        rows = np.arange(len(data))
    model.eval()
    sums = {
        kind: {name: torch.zeros_like(value) for name, value in parameters.items()}
        for kind in kinds
        if kind in ("taylor", "fisher", "true-fisher")
    }
    random, answers = generator(seed, "answers"), head_of(spec).answers
    size = data.at_once(GRADIENT_ROWS)
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]

    def batch_of(group: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        batch = {name: value.to(device) for name, value in data.batch(group).items()}
        return batch, batch.pop("labels")

    found: dict[str, Statistics] = {}
    if of_inputs := [kind for kind in INPUT_KINDS if kind in kinds]:
        batches = [batch_of(group)[0] for group in groups]
        statistics = input_statistics(base, batches, tensors, of_inputs, observer)
        found |= {kind: Statistics.of(kind, values) for kind, values in statistics.items()}
    for done, group in enumerate(groups if sums else (), start=1):
        batch, labels = batch_of(group)
        observer.progress(done, len(groups), "calibration")
        with torch.enable_grad():
            units = answers.units(model(**batch), labels)
        if {"taylor", "fisher"} & sums.keys():
            loss = example_means(answers.losses(units), units.examples, len(group)).mean()
            for name, grad in _gradients(loss, parameters, again="true-fisher" in sums):
                if "taylor" in sums:
                    sums["taylor"][name].add_(grad, alpha=len(group) / len(rows))
                if "fisher" in sums:
                    sums["fisher"][name].addcmul_(grad, grad, value=1.0 / len(groups))
        if "true-fisher" in sums:
            softened = replace(units, logits=answers.softened(units.logits, SOFTENED))
            drawn = replace(softened, targets=answers.drawn(softened.logits, random))
            loss = example_means(answers.losses(drawn), drawn.examples, len(group)).mean()
            for name, grad in _gradients(loss, parameters):
                sums["true-fisher"][name].addcmul_(grad, grad, value=1.0 / len(groups))
    found |= {kind: Statistics.of(kind, values) for kind, values in sums.items()}
    for kind, known in found.items():
        if not any(bool(tensor.any()) for tensor in known.tensors.values()):
            # All importances would be equal, and ties are broken at random.
            raise RpmaskError(
                f"The {kind} statistics of {len(rows)} rows are zero for every weight.",
                "Give more --calibration-rows, or draw around magnitude with --importance magnitude.",
            )
    return found


def _gradients(
    loss: torch.Tensor, parameters: Mapping[str, torch.Tensor], again: bool = False
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each parameter's gradient, by name; `again` keeps the graph for another loss."""
    grads = torch.autograd.grad(loss, list(parameters.values()), retain_graph=again)
    return zip(parameters, grads, strict=True)
