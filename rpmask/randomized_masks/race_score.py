"""Score a candidate on the held-out rows: one loss and one distance a row, from calibrated logits.

A few steps after pruning, a good mask is often wrong with great confidence, and a bad mask knows nothing:
on the raw loss the bad mask leads. Calibration recovers within a few more steps; discrimination does not.
So each model's logits are first scaled by the one factor that minimises its own mean loss.

A candidate's score is the row-by-row mean of its last evaluations: one by default, ten in the
randomized-mask paper's early evaluation, where a mean depends less on chance than the last weights do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from rpmask.heads.outputs import mean_by_example
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.randomized_masks.streamed_score import streamed
from rpmask.tasks.spec import TaskSpec
from rpmask.train.evaluate import evaluate

LOG_FACTORS = (-7.0, 3.0)  # scales from 0.001, nearly ignoring the logits, to 20


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, or the mean of several: losses on the labels, distances from a dense model."""

    losses: np.ndarray  # (held-out rows,)
    metric: float
    distances: np.ndarray | None = None  # (held-out rows,)


class Evaluator:
    """Evaluates candidates on the held-out rows, and against a dense model if there is one."""

    def __init__(self, task: TaskSpec, held_out: Split, dense: nn.Module | None) -> None:
        self._task, self._held_out, self._dense = task, held_out, dense
        self._answers = head_of(task).answers
        self._dense_logits = None
        if dense is not None and self._answers.keeps_logits:
            self._dense_logits = evaluate(dense, held_out, task).logits

    def __call__(self, model: nn.Module) -> Evaluation:
        """The losses and distances of a model, calibrated if its answers have a confidence."""
        if not self._answers.keeps_logits:
            return self._streamed(model)
        found = evaluate(model, self._held_out, self._task)
        assert found.logits is not None
        losses, distances = found.losses, None
        if self._answers.has_confidence:
            losses = calibrated_losses(found.logits, found.targets, found.examples)
            if self._dense_logits is not None:
                distances = calibrated_distances(found.logits, self._dense_logits, found.examples)
        elif self._dense_logits is not None:
            apart = np.square(found.logits - self._dense_logits).mean(axis=1)
            distances = mean_by_example(apart, found.examples, len(losses))
        return Evaluation(losses, found.metrics[self._task.primary], distances)

    def _streamed(self, model: nn.Module) -> Evaluation:
        plain, losses, distances = streamed(model, self._dense, self._held_out, self._task)
        metrics = self._answers.score(self._task, plain, self._held_out.labels)
        return Evaluation(losses, metrics[self._task.primary], distances)

    def broken(self) -> Evaluation:
        """The evaluation of a model that gives no finite answer."""
        nothing = np.full(len(self._held_out.labels), np.nan)
        return Evaluation(nothing, np.nan, None if self._dense is None else nothing)


def calibrated_losses(
    logits: np.ndarray, targets: np.ndarray, examples: np.ndarray | None = None
) -> np.ndarray:
    """Cross-entropy of every row after the best common scaling of the logits, (units, classes).

    examples is the row of each unit; without it every row is one unit.
    """
    return _cross_entropy(logits, np.eye(logits.shape[1])[targets], examples)


def calibrated_distances(
    logits: np.ndarray, dense_logits: np.ndarray, examples: np.ndarray | None = None
) -> np.ndarray:
    """Kullback-Leibler divergence of every row from the dense model, after the best common scaling.

    Only the candidate's logits are scaled; the dense model keeps its own confidence.
    """
    shares = np.exp(_log_softmax(dense_logits.astype(np.float64)))
    entropy = -(shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny))).sum(axis=1)
    return _cross_entropy(logits, shares, examples) - _by_row(entropy, examples)


def _cross_entropy(
    logits: np.ndarray, targets: np.ndarray, examples: np.ndarray | None
) -> np.ndarray:
    exact = logits.astype(np.float64)  # (units, classes)

    def losses(log_factor: float) -> np.ndarray:
        units = -(targets * _log_softmax(np.exp(log_factor) * exact)).sum(axis=1)
        return _by_row(units, examples)

    best = minimize_scalar(lambda x: losses(x).mean(), bounds=LOG_FACTORS, method="bounded")
    return losses(float(best.x))


def _by_row(values: np.ndarray, examples: np.ndarray | None) -> np.ndarray:
    if examples is None:
        return values
    return mean_by_example(values, examples, int(examples.max()) + 1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def mean_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The row-by-row mean of a candidate's evaluations."""
    distances = [each.distances for each in evaluations if each.distances is not None]
    return Evaluation(
        np.mean([each.losses for each in evaluations], axis=0),
        float(np.mean([each.metric for each in evaluations])),
        np.mean(distances, axis=0) if distances else None,
    )


def as_tensors(evaluations: Sequence[Evaluation]) -> dict[str, torch.Tensor]:
    """A candidate's evaluations as tensors for its training state."""
    return {
        f"{number}/{name}": torch.from_numpy(np.asarray(value))
        for number, each in enumerate(evaluations)
        for name, value in vars(each).items()
        if value is not None
    }


def from_tensors(tensors: Mapping[str, torch.Tensor]) -> list[Evaluation]:
    """The evaluations that `as_tensors` stored."""
    found: list[Evaluation] = []
    while (losses := tensors.get(f"{len(found)}/losses")) is not None:
        metric = float(tensors[f"{len(found)}/metric"])
        distances = tensors.get(f"{len(found)}/distances")
        found.append(
            Evaluation(losses.numpy(), metric, None if distances is None else distances.numpy())
        )
    return found
