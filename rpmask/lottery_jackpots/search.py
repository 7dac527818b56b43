"""The jackpot search: find a better mask of a pretrained network without changing a weight.

Every parameter is frozen, those of norms included. The forward pass uses weights * mask, and the gradient
goes to the scores (`scores.py`), which swap kept and dropped weights (`short_restriction.py`). The only other
thing that changes are the running statistics of batch norms (`norms.py`). As published, the learning rate
and the restriction fall once an epoch. The result is the mask of the epoch that scored best on the
selection split, with the statistics it was evaluated with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rpmask.errors import RpmaskError, RunFailed
from rpmask.heads.registry import head_of
from rpmask.heads.splits import Split
from rpmask.jsonrecord import canonical_json
from rpmask.lottery_jackpots.cropping import augmented
from rpmask.lottery_jackpots.norms import (
    Statistics,
    freeze_norms,
    reestimate_norms,
    running_statistics,
    set_running_statistics,
    statistics_digest,
)
from rpmask.lottery_jackpots.plan import SearchPlan
from rpmask.lottery_jackpots.scores import ScoredWeights
from rpmask.lottery_jackpots.search_state import SearchState, load_state, save_state
from rpmask.lottery_jackpots.short_restriction import restriction_rate
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, combined_digest, full_names, tensor_digest
from rpmask.results import SearchEpoch
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import training_order
from rpmask.train.evaluate import evaluate
from rpmask.train.losses import example_losses
from rpmask.train.observer import Observer

CHECKPOINT_STEPS = 500  # within an epoch; the end of each epoch writes a checkpoint too


@dataclass(frozen=True)
class Searched:
    """The result of a search. The weights' digests cover every parameter of the model.

    statistics are the norms' running statistics at the best epoch, start_statistics those that the start
    was evaluated with; both are empty for a model without such norms.
    """

    mask: Mask
    epochs: tuple[SearchEpoch, ...]  # the first is the start, before any step
    best_epoch: int
    weights_digest_before: str
    weights_digest_after: str
    statistics_digest_before: str  # the dense model's
    statistics_digest_after: str
    statistics: Statistics = field(compare=False, repr=False)
    start_statistics: Statistics = field(compare=False, repr=False)


class UnderMask(nn.Module):
    """A model that computes with other values for some of its parameters, and keeps its own."""

    def __init__(self, model: nn.Module, values: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.model = model
        self._values = values

    def forward(self, **batch: torch.Tensor) -> Any:
        """The model's output with the given values in place of its own."""
        return torch.func.functional_call(self.model, self._values, args=(), kwargs=batch)


def put_on(model: nn.Module, mask: Mask, statistics: Statistics) -> None:
    """Give the model the state that was evaluated: masked weights, and its norms' running statistics."""
    MaskHold(model, mask).apply()
    set_running_statistics(model, statistics)


def parameters_digest(model: nn.Module) -> str:
    """The digest of every parameter of a model, pruned or not."""
    return combined_digest(
        {name: tensor_digest(name, value) for name, value in model.named_parameters()}
    )


class Search:
    """A search from a starting mask; `run` continues an interrupted one from its checkpoint.

    The model's norms end with the statistics of the last epoch; `put_on` sets those of the best epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        start: Mask,
        train: Split,
        selection: Split,
        task: TaskSpec,
        plan: SearchPlan,
        checkpoint: Path,
        observer: Observer,
    ) -> None:
        plan.check()
        if plan.augment != "none" and head_of(task).inputs.are_text:
            raise RpmaskError(
                f"The rows of {task.title} are not images, so they cannot be cropped.",
                "Leave --augment out.",
            )
        torch.set_num_threads(plan.threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model.to(self._device).requires_grad_(False)
        self._model, self._start, self._task, self._plan = model, start, task, plan
        self._train, self._selection = train, selection
        self._checkpoint, self._observer = checkpoint, observer
        self._dense = running_statistics(model)
        rows = min(plan.batch_size, len(train))
        if rows < 2 and self._dense and plan.norm_statistics != "frozen":
            raise RpmaskError(
                "A batch norm cannot compute statistics from a single row.",
                "Give --batch-size 2 or more, or --norm-statistics frozen.",
            )
        base = base_of(model)
        whole = full_names(model)  # masks name tensors without the head, functional_call with it
        self._names = {name: whole[name] for name in start.names}
        self._scored = ScoredWeights(
            {name: base.get_parameter(name) for name in start.names}, start
        )
        self._optimizer = _optimizer(plan, list(self._scored.scores.values()))
        self._epoch_steps = len(train) // rows
        self._order = training_order(train, rows, plan.epochs * self._epoch_steps, plan.seed)
        self._digest = parameters_digest(model)
        identity = [start.digest, self._digest, statistics_digest(self._dense), plan.to_dict()]
        self._state = SearchState(
            canonical_json(identity),
            start,
            self._dense,
            self._dense,
            self._dense,
            lower_is_better=head_of(task).answers.lower_is_better,
        )

    def run(self) -> Searched:
        """Search to the end."""
        state, steps = self._state, len(self._order)
        if self._checkpoint.exists():
            load_state(self._checkpoint, state, self._scored, self._optimizer)
            set_running_statistics(self._model, state.statistics)
            for epoch in state.epochs:
                self._report(epoch)
        else:
            self._end_epoch()
        while state.step < steps:
            self._step(state.step)
            state.step += 1
            self._observer.progress(state.step, steps, "steps")
            if state.step % self._epoch_steps == 0:
                self._end_epoch()
            elif state.step % CHECKPOINT_STEPS == 0:
                state.statistics = running_statistics(self._model)
                save_state(self._checkpoint, state, self._scored, self._optimizer)
        after = parameters_digest(self._model)
        if after != self._digest:
            raise RunFailed(
                f"The weights changed during the search: their digest was {self._digest[:12]} and is "
                f"{after[:12]}.",
                "The mask was not saved; this is a defect of rpmask or of the model's own code.",
            )
        return Searched(
            mask=state.best_mask,
            epochs=tuple(state.epochs),
            best_epoch=state.best_epoch,
            weights_digest_before=self._digest,
            weights_digest_after=after,
            statistics_digest_before=statistics_digest(self._dense),
            statistics_digest_after=statistics_digest(state.best_statistics),
            statistics=state.best_statistics,
            start_statistics=state.start_statistics,
        )

    def _step(self, step: int) -> None:
        plan, state = self._plan, self._state
        done = step // self._epoch_steps / plan.epochs
        # Dropout is seeded per step, so that a resumed search computes what an uninterrupted one does.
        torch.manual_seed(int(generator(plan.seed, "dropout", str(step)).integers(2**62)))
        for group in self._optimizer.param_groups:
            group["lr"] = plan.learning_rate * restriction_rate("cosine", done)
        self._model.train()
        if plan.norm_statistics == "frozen":
            freeze_norms(self._model)
        batch, labels = self._batch(step)
        batch = augmented(batch, plan.augment, generator(plan.seed, "augment", str(step)))
        under, size = self._under_mask(), self._train.at_once(len(labels))
        for start in range(0, len(labels), size):  # in parts whose logits fit into memory
            part = {name: value[start : start + size] for name, value in batch.items()}
            own = labels[start : start + size]
            losses = example_losses(self._task, under(**part), own)
            loss = losses.mean() * (len(own) / len(labels))
            loss.backward()
            state.loss += float(loss.detach())
        self._scored.pass_gradients()
        self._optimizer.step()
        state.swaps += self._scored.update(restriction_rate(plan.restriction, done))
        if not math.isfinite(state.loss):
            raise RunFailed(
                f"The search's loss is not finite at step {step}.",
                "Lower --learning-rate; the weights were not touched.",
            )

    def _batch(self, step: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The inputs and the labels of a step."""
        batch = self._train.batch(self._order[step])
        batch = {name: value.to(self._device) for name, value in batch.items()}
        return batch, batch.pop("labels")

    def _under_mask(self) -> UnderMask:
        """The model under the current mask."""
        effective = self._scored.effective()
        return UnderMask(self._model, {self._names[n]: value for n, value in effective.items()})

    def _end_epoch(self) -> None:
        """Evaluate, keep the best, write the checkpoint. Epoch 0 is the start, before any step."""
        state, mask, under = self._state, self._scored.mask(), self._under_mask()
        if self._plan.norm_statistics == "reestimated":
            # Always on the batches of the first epoch.
            reestimate_norms(under, (self._batch(step)[0] for step in range(self._epoch_steps)))
        evaluation = evaluate(under, self._selection, self._task)
        epoch = SearchEpoch(
            epoch=state.step // self._epoch_steps,
            step=state.step,
            train_loss=state.loss / self._epoch_steps,
            loss=evaluation.loss,
            metric=evaluation.metrics[self._task.primary],
            swaps=state.swaps,
            overlap=mask.overlap(self._start),
        )
        state.add(epoch, mask, running_statistics(self._model))
        save_state(self._checkpoint, state, self._scored, self._optimizer)
        self._report(epoch)

    def _report(self, epoch: SearchEpoch) -> None:
        curves = {
            f"selection/{self._task.primary}": epoch.metric,
            "selection/loss": epoch.loss,
            "search/overlap_with_start": epoch.overlap,
        }
        if epoch.epoch:
            curves |= {"search/loss": epoch.train_loss, "search/swaps": epoch.swaps}
        for name, value in curves.items():
            self._observer.metric(name, value, epoch.epoch)


def _optimizer(plan: SearchPlan, scores: list[torch.Tensor]) -> torch.optim.Optimizer:
    if plan.optimizer == "adam":
        return torch.optim.Adam(scores, lr=plan.learning_rate)
    return torch.optim.SGD(
        scores, lr=plan.learning_rate, momentum=plan.momentum, weight_decay=plan.weight_decay
    )
