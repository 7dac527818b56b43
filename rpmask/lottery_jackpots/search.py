"""Lottery jackpots: search the mask of a pretrained network without touching a weight.

Every parameter is frozen, those of norms included. The forward pass sees weights * mask, the scores get the
gradient (scores.py), and swaps between kept and dropped weights are all that ever changes, beside the
running statistics of batch norms (norms.py), which are no parameters. As published, the learning rate
and the restriction fall once an epoch. The result is the mask of the epoch that did best on the selection
split, with the statistics it was evaluated with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rpmask.errors import RpmaskError, RunFailed
from rpmask.lottery_jackpots.cropping import altered
from rpmask.lottery_jackpots.norms import (
    freeze_norms,
    reestimate_norms,
    running_statistics,
    set_running_statistics,
    statistics_digest,
)
from rpmask.lottery_jackpots.scores import ScoredWeights, restriction_rate
from rpmask.lottery_jackpots.search_state import (
    Searched,
    SearchState,
    Statistics,
    load_state,
    save_state,
)
from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.masks.weights import base_of, combined_digest, tensor_digest
from rpmask.results import SearchEpoch
from rpmask.tasks.spec import TaskSpec
from rpmask.train.batches import Split, generator, training_order
from rpmask.train.evaluate import Evaluation, evaluate, example_losses
from rpmask.train.observer import Observer
from rpmask.train.plan import SearchPlan

CHECKPOINT_STEPS = 500  # within an epoch; one is also written at the end of each


class UnderMask(nn.Module):
    """A model that computes with other values for some of its parameters, and keeps its own."""

    def __init__(self, model: nn.Module, values: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.model = model
        self._values = values

    def forward(self, **batch: torch.Tensor) -> Any:
        """The model's output with the given values in place of its own."""
        return torch.func.functional_call(self.model, self._values, args=(), kwargs=batch)


def parameters_digest(model: nn.Module) -> str:
    """The identity of every parameter of a model, pruned or not."""
    return combined_digest(
        {name: tensor_digest(name, value) for name, value in model.named_parameters()}
    )


def search(
    model: nn.Module,
    start: Mask,
    train: Split,
    selection: Split,
    task: TaskSpec,
    plan: SearchPlan,
    checkpoint: Path,
    observer: Observer,
) -> Searched:
    """Search from a starting mask; continues from the checkpoint if an interrupted search left one.

    The model's norms are left with the statistics of the last epoch; `put_on` sets those of the best one.
    """
    plan.check()
    if plan.augment != "none" and task.inputs != "image":
        raise RpmaskError(
            f"The rows of {task.title} are no images; nothing of them can be cropped.",
            "Leave --augment out.",
        )
    torch.set_num_threads(plan.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).requires_grad_(False)
    return _Search(model, start, train, selection, task, plan, checkpoint, observer).run()


class _Search:
    """One search under way."""

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
        self._model, self._start, self._task, self._plan = model, start, task, plan
        self._train, self._selection = train, selection
        self._checkpoint, self._observer = checkpoint, observer
        self._device = next(model.parameters()).device
        base = base_of(model)
        own = {id(parameter): name for name, parameter in model.named_parameters()}
        # Masks name tensors of the headless network, a call replaces those of the whole model.
        self._names = {name: own[id(base.get_parameter(name))] for name in start.names}
        self._weights = {name: base.get_parameter(name) for name in start.names}
        self._scored = ScoredWeights(self._weights, start)
        self._optimizer = _optimizer(plan, list(self._scored.scores.values()))
        self._order = _order(train, plan)
        self._steps = len(self._order)
        self._epoch_steps = self._steps // plan.epochs
        self._digest = parameters_digest(model)
        self._dense = running_statistics(model)
        if self._dense and plan.norm_statistics != "frozen" and len(self._order[0]) < 2:
            raise RpmaskError(
                "Batch norms take no statistics from one row.",
                "Give --batch-size 2 or more, or --norm-statistics frozen.",
            )
        self._state = SearchState.fresh(start, self._digest, self._dense, plan)

    def run(self) -> Searched:
        """Search to the end."""
        state = self._state
        if self._checkpoint.exists():
            load_state(self._checkpoint, state, self._scored, self._optimizer)
            set_running_statistics(self._model, state.statistics)
            for known in state.epochs:
                self._say(known)
        else:
            self._end_epoch(0, 0.0)
        while state.step < self._steps:
            self._step(state.step)
            state.step += 1
            self._observer.progress(state.step, self._steps, "steps")
            if state.step % self._epoch_steps == 0:
                epoch = state.step // self._epoch_steps
                self._end_epoch(epoch, state.loss / self._epoch_steps)
            elif state.step % CHECKPOINT_STEPS == 0:
                state.statistics = running_statistics(self._model)
                save_state(self._checkpoint, state, self._scored, self._optimizer)
        after = parameters_digest(self._model)
        if after != self._digest:
            raise RunFailed(
                f"The weights changed during the search: their digest was {self._digest[:12]} and is "
                f"{after[:12]}.",
                "The mask was not kept; this is a defect of rpmask or of the model's own code.",
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
        # Dropout is part of what is seeded, so that a resumed search goes on as if never stopped.
        torch.manual_seed(int(generator(plan.seed, "dropout", str(step)).integers(2**62)))
        for group in self._optimizer.param_groups:
            group["lr"] = plan.learning_rate * restriction_rate("cosine", done)
        self._model.train()
        if plan.norm_statistics == "frozen":
            freeze_norms(self._model)
        batch, labels = _batch(self._train, self._order[step], self._device)
        batch = altered(batch, plan.augment, generator(plan.seed, "augment", str(step)))
        effective = self._scored.effective()
        under = UnderMask(self._model, {self._names[n]: value for n, value in effective.items()})
        loss = example_losses(self._task, under(**batch).logits, labels).mean()
        loss.backward()
        self._scored.pass_gradients()
        self._optimizer.step()
        state.swaps += self._scored.update(restriction_rate(plan.restriction, done))
        state.loss += float(loss.detach())
        if not math.isfinite(state.loss):
            raise RunFailed(
                f"The search's loss is not finite at step {step}.",
                "Lower --learning-rate; the weights were not touched.",
            )

    def _under(self, mask: Mask) -> UnderMask:
        return UnderMask(
            self._model,
            {
                self._names[name]: weight.detach() * mask.keep(name).to(weight.device)
                for name, weight in self._weights.items()
            },
        )

    def _evaluate(self, mask: Mask) -> Evaluation:
        under = self._under(mask)
        if self._plan.norm_statistics == "reestimated":
            reestimate_norms(under, _first_epoch(self._train, self._plan, self._device))
        return evaluate(under, self._selection, self._task)

    def _end_epoch(self, number: int, train_loss: float) -> None:
        """Evaluate, remember the best, write the checkpoint. Number 0 is the start, before a step."""
        state, mask = self._state, self._scored.mask()
        found = self._evaluate(mask)
        metric = found.metrics[self._task.primary]
        epoch = SearchEpoch(
            epoch=number,
            step=state.step,
            train_loss=train_loss,
            loss=found.loss,
            metric=metric,
            swaps=state.swaps,
            overlap=mask.overlap(self._start),
        )
        state.loss, state.swaps = 0.0, 0
        state.add(epoch, mask, running_statistics(self._model))
        save_state(self._checkpoint, state, self._scored, self._optimizer)
        self._say(epoch)

    def _say(self, epoch: SearchEpoch) -> None:
        for name, value in (
            (f"selection/{self._task.primary}", epoch.metric),
            ("selection/loss", epoch.loss),
            ("search/overlap_with_start", epoch.overlap),
        ):
            self._observer.metric(name, value, epoch.epoch)
        if epoch.epoch:
            self._observer.metric("search/loss", epoch.train_loss, epoch.epoch)
            self._observer.metric("search/swaps", epoch.swaps, epoch.epoch)


def put_on(model: nn.Module, mask: Mask, statistics: Statistics) -> None:
    """Make the model what the search evaluated: masked weights, and its norms' running statistics."""
    MaskHold(model, mask).apply()
    set_running_statistics(model, statistics)


def _order(train: Split, plan: SearchPlan) -> list[np.ndarray]:
    batch = min(plan.batch_size, len(train))
    return training_order(train, batch, plan.epochs * (len(train) // batch), plan.seed)


def _batch(
    train: Split, rows: np.ndarray, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    batch = {name: value.to(device) for name, value in train.batch(rows).items()}
    return batch, batch.pop("labels")


def _first_epoch(
    train: Split, plan: SearchPlan, device: torch.device
) -> Iterator[dict[str, torch.Tensor]]:
    """The inputs that norms' statistics are taken from, always the same ones."""
    order = _order(train, replace(plan, epochs=1))
    return (_batch(train, rows, device)[0] for rows in order)


def _optimizer(plan: SearchPlan, scores: list[torch.Tensor]) -> torch.optim.Optimizer:
    if plan.optimizer == "adam":
        return torch.optim.Adam(scores, lr=plan.learning_rate)
    return torch.optim.SGD(
        scores,
        lr=plan.learning_rate,
        momentum=plan.momentum,
        weight_decay=plan.weight_decay,
    )
