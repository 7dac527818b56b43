"""Score a candidate whose logits are too many to keep: its losses and distances are computed batch by batch.

The factor that scales the logits (`race_score.py`) is not known before the last batch, so losses and
distances are computed for a grid of factors. Between the best factor of the grid and its neighbours, values
follow a parabola in the factor's logarithm. The dense model answers each batch anew.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rpmask.heads.outputs import mean_by_example
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.tasks.spec import TaskSpec
from rpmask.train.evaluate import evaluation_order, rows_of

OCTAVE = 4  # factors from one to its double
LOG_FACTORS = np.log(2.0) / OCTAVE * np.arange(-6 * OCTAVE, 2 * OCTAVE + 1)  # of 1/64 to 4
CHUNK_UNITS = 16  # exponentials of so many units stay in the cache of the processor
BATCH_SIZE = 64  # rows, or as many as fit into memory


@torch.no_grad()
def streamed(
    model: nn.Module, dense: nn.Module | None, data: Split, spec: TaskSpec
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Of every example: its loss, its calibrated loss, and its calibrated distance from a dense model."""
    was_training = model.training
    model.eval()
    if dense is not None:
        dense.eval()
    device, answers = next(model.parameters()).device, head_of(spec).answers
    order, size = evaluation_order(data), data.at_once(BATCH_SIZE)
    places, plain, losses, distances = [], [], [], []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        batch = {name: value.to(device) for name, value in data.batch(rows).items()}
        labels = batch.pop("labels")
        units = answers.units(model(**batch), labels)
        places.append(rows_of(units, rows))
        plain.append(answers.losses(units).double().cpu().numpy())
        logits = units.logits.float()  # (units, classes)
        sums, factors = _log_sums(logits), np.exp(LOG_FACTORS)[:, None]
        aimed = logits.gather(-1, units.targets[:, None])[:, 0].double().cpu().numpy()
        losses.append(sums - factors * aimed)  # (factors, units)
        if dense is not None:
            theirs = answers.units(dense(**batch), labels).logits.float().log_softmax(dim=-1)
            shares = theirs.exp()
            expected = (shares * logits).sum(dim=-1).double().cpu().numpy()
            entropy = -(shares * theirs).sum(dim=-1).double().cpu().numpy()
            distances.append(sums - factors * expected - entropy)
    model.train(was_training)
    owners, count = data.owners[np.concatenate(places)], len(data.labels)

    def by_example(parts: list[np.ndarray]) -> np.ndarray:
        return np.stack([mean_by_example(each, owners, count) for each in np.hstack(parts)])

    return (
        mean_by_example(np.concatenate(plain), owners, count),
        at_best_factor(by_example(losses)),
        at_best_factor(by_example(distances)) if distances else None,
    )


def _log_sums(logits: torch.Tensor) -> np.ndarray:
    """The logarithm of the sum of exponentials of every unit's scaled logits: (factors, units).

    The exponentials under a factor are the squares of those under half of it.
    """
    factors = np.exp(LOG_FACTORS)
    found = np.empty((len(factors), len(logits)))
    for start in range(0, len(logits), CHUNK_UNITS):
        part = slice(start, start + CHUNK_UNITS)
        top = logits[part].amax(dim=-1, keepdim=True)
        below = logits[part] - top
        for first in range(OCTAVE):
            powers = (float(factors[first]) * below).exp_()
            for place in range(first, len(factors), OCTAVE):
                found[place, part] = powers.sum(dim=-1).double().log().cpu().numpy()
                powers.square_()
        found[:, part] += factors[:, None] * top[:, 0].double().cpu().numpy()
    return found


def at_best_factor(values: np.ndarray) -> np.ndarray:
    """The values, (factors, examples), at the factor with the least mean: (examples,)."""
    means = values.mean(axis=1)
    best = int(means.argmin())
    if best in (0, len(means) - 1):
        found: np.ndarray = values[best]
        return found
    low, middle, high = means[best - 1 : best + 2]
    bend = low - 2 * middle + high
    place = 0.5 * (low - high) / bend if bend > 0 else 0.0  # of the minimum, in steps of the grid
    weights = [place * (place - 1) / 2, 1 - place**2, place * (place + 1) / 2]
    return np.asarray(weights) @ values[best - 1 : best + 2]
