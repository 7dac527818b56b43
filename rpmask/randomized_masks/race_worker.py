"""Where candidates run: one model, put back to the level's starting weights for each of them.

An arena holds one candidate at a time. Between rungs a candidate is a few arrays (its parameters
and the optimizer's moments, pruned positions left out), so any worker can continue it, after any
interruption, to the same numbers.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from rpmask.errors import RunFailed
from rpmask.masks.masked import MaskHold
from rpmask.randomized_masks.race_models import Contenders
from rpmask.randomized_masks.race_score import (
    Evaluation,
    Evaluator,
    as_tensors,
    from_tensors,
    mean_of,
)
from rpmask.randomized_masks.race_state import captured, notes_of, restore
from rpmask.randomized_masks.race_training import RaceTraining, rate_share, regular, stops
from rpmask.streams import generator
from rpmask.tasks.spec import TaskSpec
from rpmask.train.attention import quick_attention
from rpmask.train.batches import Split, training_order
from rpmask.train.decay import parameter_groups
from rpmask.train.distill import distillation_loss
from rpmask.train.freeze import frozen_embeddings
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches
from rpmask.train.teacher import Remembered


@dataclass(frozen=True)
class RaceSetup:
    """Everything a worker needs to build an arena; picklable."""

    contenders: Contenders
    task: TaskSpec
    training: RaceTraining
    train: Split
    held_out: Split


@dataclass(frozen=True)
class Leg:
    """Take one candidate from one rung to the next. state is what the rung before left behind."""

    candidate: int
    rung: int
    from_step: int
    to_step: int
    state: bytes | None = field(repr=False)
    keep_state: bool = True


@dataclass(frozen=True)
class LegResult:
    """What a leg found out, and the training state to go on from.

    losses are of the labels; distances, from the dense model's answers, are what a distilled race ranks by.
    """

    candidate: int
    rung: int
    step: int
    losses: np.ndarray = field(repr=False)  # (held-out rows,)
    metric: float
    train_loss: float
    state: bytes | None = field(repr=False)
    refit_seconds: float = 0.0
    train_seconds: float = 0.0
    distances: np.ndarray | None = field(default=None, repr=False)  # (held-out rows,)


class RaceWorker:
    """Runs legs. Built once a worker; called once a leg."""

    def __init__(self, setup: RaceSetup) -> None:
        try:
            self._build(setup)
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"The models of a race do not fit into the device's memory: {error}",
                "Let fewer share the device (--workers), or race without the dense model (--race-labels).",
            ) from error

    def _build(self, setup: RaceSetup) -> None:
        self._setup = setup
        torch.set_num_threads(setup.training.threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        training = setup.training
        attentions = training.distill.attention > 0
        model, self._start = setup.contenders.opened(
            attentions=attentions, dropout=training.dropout
        )
        self._model = model.to(self._device)
        self._dense: nn.Module | None = None
        self._teacher: Remembered | None = None  # the dense model, asked once a step
        if training.distill.needs_teacher:
            dense = setup.contenders.teacher(attentions=attentions).to(self._device)
            self._dense = dense.eval().requires_grad_(False)
            self._teacher = Remembered(dense, training.distill)
        self._evaluator = Evaluator(setup.task, setup.held_out, self._dense)
        self._order = training_order(
            setup.train, training.batch_size, training.full_steps, training.seed
        )

    def __call__(self, leg: Leg) -> LegResult:
        """Train a candidate over the steps of a leg and evaluate it at the end."""
        try:
            return self._run(leg)
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"Candidate {leg.candidate} does not fit into the device's memory: {error}",
                "Let fewer share the device (--workers), or use a smaller --batch-size.",
            ) from error

    def _run(self, leg: Leg) -> LegResult:
        training = self._setup.training
        self._model.load_state_dict(self._start)
        hold = MaskHold(self._model, self._setup.contenders.mask(leg.candidate))
        started = time.monotonic()
        if leg.state is None and training.refit:
            rows = refit_batches(self._setup.train, training.refit, training.seed)
            refit(self._model, hold.mask, rows, Silent())
        refitted = time.monotonic()
        hold.apply()
        with ExitStack() as stack:
            if training.freeze_embeddings:
                stack.enter_context(frozen_embeddings(self._model, hold.mask.names))
            optimizer = torch.optim.AdamW(
                parameter_groups(self._model, training.weight_decay),
                lr=training.learning_rate,
                fused=True,
            )
            evaluations: list[Evaluation] = []  # those that a score may count
            if leg.state is not None:
                restore(self._model, optimizer, hold.mask, leg.state)
                evaluations = from_tensors(notes_of(leg.state))
            self._model.train()
            total, training_seconds, at = 0.0, 0.0, leg.from_step
            networks = (self._model, self._dense)
            for stop in stops(leg.from_step, leg.to_step, training):
                begun = time.monotonic()
                with (
                    quick_attention(networks, self._setup.train, training.precision),
                    hold.gradients_masked(),
                ):
                    for step in range(at, stop):
                        total += self._step(optimizer, hold, step)
                        if not np.isfinite(total):
                            return self._broken(leg)
                training_seconds += time.monotonic() - begun
                try:
                    evaluations.append(self._evaluator(self._model))
                except RunFailed:  # the last step's weights give no finite answer
                    return self._broken(leg)
                at = stop
            score = mean_of(evaluations[-training.scored_evaluations :])
            if not regular(leg.to_step, training):
                del evaluations[-1]  # it is there because the leg ends
            notes = as_tensors(evaluations[-training.scored_evaluations :])
            state = captured(self._model, optimizer, hold.mask, notes) if leg.keep_state else None
        return LegResult(
            candidate=leg.candidate,
            rung=leg.rung,
            step=leg.to_step,
            losses=score.losses,
            metric=score.metric,
            train_loss=total / (leg.to_step - leg.from_step),
            state=state,
            refit_seconds=refitted - started,
            train_seconds=training_seconds,
            distances=score.distances,
        )

    def _broken(self, leg: Leg) -> LegResult:
        """A candidate whose loss is no number any more; the race marks it failed and goes on."""
        nothing = self._evaluator.broken()
        return LegResult(
            candidate=leg.candidate,
            rung=leg.rung,
            step=leg.to_step,
            losses=nothing.losses,
            metric=nothing.metric,
            train_loss=np.nan,
            state=None,
            distances=nothing.distances,
        )

    def _step(self, optimizer: torch.optim.Optimizer, hold: MaskHold, step: int) -> float:
        training = self._setup.training
        # Dropout is part of the common random numbers: the same noise for every candidate.
        torch.manual_seed(int(generator(training.seed, "dropout", str(step)).integers(2**62)))
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate_share(step, training)
        batch = self._setup.train.batch(self._order[step])
        batch = {name: value.to(self._device) for name, value in batch.items()}
        labels = batch.pop("labels")
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=training.precision == "bf16"
        ):
            outputs = self._model(**batch, **training.distill.outputs)
            target = self._teacher(step, batch) if self._teacher is not None else None
        loss = distillation_loss(
            outputs,
            target,
            labels,
            batch.get("attention_mask"),
            self._setup.task,
            training.distill,
            getattr(self._setup.train, "most", None),  # images have none
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if training.max_grad_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), training.max_grad_norm)
        optimizer.step()
        hold.apply()
        return float(loss.detach())
